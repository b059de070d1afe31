-- Counts the growth of connections' traffic totals.
-- KEYS: the closed bridges. ARGV: connections
for _, connection in ipairs(cjson.decode(ARGV[1])) do
  local key, totals = connection.key, connection.totals
  local bucket = {connection.day, connection.hour}
  local growth = raise_totals(key, {in_msgs = totals[1], in_bytes = totals[2], out_msgs = totals[3],
    out_bytes = totals[4], seconds = totals[5]})
  redis.call('HSET', key, 'tenant', connection.tenant)
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
