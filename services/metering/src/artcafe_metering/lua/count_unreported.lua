-- Reconciles bridges whose gateways will report nothing more. KEYS: the closed bridges
-- ARGV: day, hour, connection keys
for _, key in ipairs(cjson.decode(ARGV[3])) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'settled', 1)
    count_unreported(key, {ARGV[1], ARGV[2]})
    extend_connection(key)
  end
  redis.call('ZREM', KEYS[1], key)
end
apply_expiry()
