-- Replace our claim by the response, and remove the oldest responses of the organization beyond its limit.
-- KEYS: the record; the organization's list of stored responses, oldest first; their bytes.
-- ARGV: our claim, the response, its lifetime in ms, the limit in bytes, what a record costs besides.
-- Returns 0 when the claim has expired.
local MAX_REMOVED = 500 -- in one call, because a script blocks Redis while it runs
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local lifetime, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local size = #ARGV[2] + tonumber(ARGV[5])
redis.call('SET', KEYS[1], ARGV[2], 'PX', lifetime)
redis.call('RPUSH', KEYS[2], string.format('%.0f %d %s', now, size, KEYS[1]))
local stored = redis.call('INCRBY', KEYS[3], size)
for _ = 1, MAX_REMOVED do
  local stored_at, bytes, name = string.match(redis.call('LINDEX', KEYS[2], 0), '^(%d+) (%d+) (.+)$')
  local expired = tonumber(stored_at) + lifetime <= now
  if not expired and stored <= limit then break end
  -- One that expired may have been stored again since.
  if not expired then redis.call('DEL', name) end
  redis.call('LPOP', KEYS[2])
  stored = redis.call('DECRBY', KEYS[3], bytes)
end
redis.call('PEXPIRE', KEYS[2], lifetime)
redis.call('PEXPIRE', KEYS[3], lifetime)
return 1
