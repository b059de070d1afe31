-- Raises a tenant's counters to archived daily totals; returns 1 if one was lower.
-- KEYS: the recovered tenants. ARGV: run id of Redis, tenant, time in ms, days with their totals
local tenant, raised = ARGV[2], 0
if redis.call('HGET', KEYS[1], tenant) == ARGV[1] then return 0 end
for _, archived in ipairs(cjson.decode(ARGV[4])) do
  local day, totals = archived[1], archived[2]
  local daily = 'stats:d:' .. day .. ':' .. tenant
  local stored, growth, any = redis.call('HMGET', daily, unpack(FIELDS)), {}, false
  for i = 1, #FIELDS do
    growth[i] = math.max(0, totals[i] - (tonumber(stored[i]) or 0))
    any = any or growth[i] > 0
  end
  if any then
    raised = 1
    add(daily, 90 * DAY, growth)
    add('stats:m:' .. string.sub(day, 1, 6) .. ':' .. tenant, 400 * DAY, growth)
    redis.call('SADD', 'meter:tenants:' .. day, tenant)
    expiry['meter:tenants:' .. day] = 90 * DAY
  end
end
-- Connections that were open then are in these totals: see apply_broker_totals.
if raised == 1 then redis.call('SET', 'meter:lost:' .. tenant, ARGV[3], 'EX', 14 * DAY) end
redis.call('HSET', KEYS[1], tenant, ARGV[1])
expiry[KEYS[1]] = 90 * DAY
apply_expiry()
return raised
