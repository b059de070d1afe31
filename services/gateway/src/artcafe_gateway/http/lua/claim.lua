-- Take a request on, unless somebody has. KEYS: its place. ARGV: our claim, for how long (ms).
-- Returns what is there already; nothing when it is ours now.
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
