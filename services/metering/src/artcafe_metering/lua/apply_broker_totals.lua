-- What the broker tells: totals of connections, and the ingest messages that they hold but that
-- are no traffic. KEYS: the ended bridges, the guard of the ingest stream.
-- ARGV: day, hour, connections, ingest messages.
for _, seen in ipairs(cjson.decode(ARGV[3])) do
  local key = seen.key
  local grown = raise(key, {in_msgs = seen.totals[1], in_bytes = seen.totals[2], out_msgs = seen.totals[3],
    out_bytes = seen.totals[4], seconds = seen.totals[5]})
  redis.call('HSET', key, 'tenant', seen.tenant)
  if seen.ended > 0 then redis.call('HSET', key, 'ended', string.format('%.0f', seen.ended)) end
  if not seen.bridge then
    count({seen.day, seen.hour}, seen.tenant, seen.client, '',
      {grown.in_msgs, grown.out_msgs, grown.in_bytes, grown.out_bytes, 0, grown.seconds})
  elseif seen.ended > 0 then
    if redis.call('HEXISTS', key, 'settled') == 1 then
      settle(key, {seen.day, seen.hour})
    else
      redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', seen.ended), key)
    end
  end
  remember(key)
end
-- One bit for each sequence of the stream: messages come in any order, to any instance.
for _, arrived in ipairs(cjson.decode(ARGV[4])) do
  local page = KEYS[2] .. ':' .. string.format('%.0f', math.floor(arrived[1] / 65536))
  if redis.call('SETBIT', page, arrived[1] % 65536, 1) == 0 then
    expiry[page] = 3600
    count({ARGV[1], ARGV[2]}, arrived[2], arrived[3], '', {-1, 0, -arrived[4]})
  end
end
finish()
