-- Bridges whose gateways have reported all that they will. KEYS: the ended bridges.
-- ARGV: day, hour, connections.
for _, key in ipairs(cjson.decode(ARGV[3])) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'settled', 1)
    settle(key, {ARGV[1], ARGV[2]})
    remember(key)
  end
  redis.call('ZREM', KEYS[1], key)
end
finish()
