-- Reconciles bridges whose gateways will report nothing more. KEYS: the closed bridges
-- ARGV: day, hour, minute, connection keys
for _, key in ipairs(cjson.decode(ARGV[4])) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'settled', 1)
    count_unreported(key, {ARGV[1], ARGV[2], ARGV[3]})
    extend_connection(key)
  end
  redis.call('ZREM', KEYS[1], key)
end
apply_expiry()
