-- Claim a request unless it is claimed or completed. KEYS: its record. ARGV: our claim, its lifetime in ms.
-- Returns the record of another request; false when the claim is ours.
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
