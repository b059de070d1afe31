-- Replace our claim by the response. KEYS: the record. ARGV: our claim, the response, its lifetime in ms.
-- Returns 0 when the claim has expired.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
