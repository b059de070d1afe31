-- Counts a gateway's usage batch once; returns 0 if it was already counted.
-- KEYS: the batch's marker. ARGV: day, hour, minute, entries, bridge reports, refusals
if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', 8 * DAY) then return 0 end
local bucket = {ARGV[1], ARGV[2], ARGV[3]}
for _, entry in ipairs(cjson.decode(ARGV[4])) do
  count(bucket, entry[1], entry[2], entry[3], entry[4])
end
for _, bridge in ipairs(cjson.decode(ARGV[5])) do
  local key = bridge[1]
  redis.call('HSET', key, 'tenant', bridge[2])
  raise_totals(key, {reported_msgs = bridge[3], reported_bytes = bridge[4]})
  count_unreported(key, bucket)
  extend_connection(key)
end
for _, refusal in ipairs(cjson.decode(ARGV[6])) do
  local key = 'stats:r:' .. ARGV[1] .. ':' .. ARGV[2] .. ':' .. refusal[1]
  redis.call('HINCRBY', key, refusal[2], string.format('%.0f', refusal[3]))
  expiry[key] = 30 * DAY
end
apply_expiry()
return 1
