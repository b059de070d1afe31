-- Delete our claim. KEYS: the record. ARGV: our claim. Returns 0 when the claim has expired.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
