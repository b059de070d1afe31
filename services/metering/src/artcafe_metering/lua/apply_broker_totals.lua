-- Counts the growth of connections' traffic totals, and subtracts the ingest messages included in it.
-- KEYS: the closed bridges, the bitmap of the ingest stream
-- ARGV: day, hour, connections, ingest messages
for _, connection in ipairs(cjson.decode(ARGV[3])) do
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
-- One bit per stream sequence, because messages arrive in any order and at any instance.
for _, message in ipairs(cjson.decode(ARGV[4])) do
  local page = KEYS[2] .. ':' .. string.format('%.0f', math.floor(message[1] / 65536))
  if redis.call('SETBIT', page, message[1] % 65536, 1) == 0 then
    expiry[page] = 3600
    count({ARGV[1], ARGV[2]}, message[2], message[3], '', {-1, 0, -message[4]})
  end
end
apply_expiry()
