-- Counts the growth of connections' traffic totals.
-- KEYS: the closed bridges. ARGV: connections

-- Whether the counters were lost while the connection was open, and this is the first time since then that it is seen.
-- The archive, from which they were recovered, may contain its totals, so only what came after those that were counted
-- last is counted; nothing of a connection of which that is not known.
local function is_new_base(key, connection)
  local lost = tonumber(redis.call('GET', 'meter:lost:' .. connection.tenant) or nil)
  if not lost or connection.started >= lost then return false end
  if (tonumber(redis.call('HGET', key, 'based') or nil) or 0) >= lost then return false end
  redis.call('HSET', key, 'based', string.format('%.0f', lost))
  return true
end

for _, connection in ipairs(cjson.decode(ARGV[1])) do
  local key, totals = connection.key, connection.totals
  local bucket = {connection.day, connection.hour, connection.minute}
  local growth = raise_totals(key, {in_msgs = totals[1], in_bytes = totals[2], out_msgs = totals[3],
    out_bytes = totals[4], seconds = totals[5]})
  redis.call('HSET', key, 'tenant', connection.tenant)
  if is_new_base(key, connection) then
    local base = connection.counted or totals
    for i, name in ipairs({'in_msgs', 'in_bytes', 'out_msgs', 'out_bytes'}) do
      growth[name] = math.max(0, totals[i] - base[i])
    end
    growth.seconds = 0
    if connection.bridge then raise_totals(key, {reported_msgs = totals[1], reported_bytes = totals[2]}) end
  end
  local ended = string.format('%.0f', connection.ended)
  if connection.ended > 0 then redis.call('HSET', key, 'ended', ended) end
  if not connection.bridge then
    count(bucket, connection.tenant, connection.client, '',
      {growth.in_msgs, growth.out_msgs, growth.in_bytes, growth.out_bytes, 0, growth.seconds})
  elseif connection.ended > 0 then
    if redis.call('HEXISTS', key, 'settled') == 1 then
      count_unreported(key, bucket)
    else
      redis.call('ZADD', KEYS[1], 'NX', ended, key)
    end
  end
  extend_connection(key)
end
apply_expiry()
