-- Acquires an outbox's lease and returns its oldest entries; nothing if another instance has the lease.
-- ARGV: outbox, lease token of the instance, lease duration (ms), limit
local lease = 'presence:outbox:' .. ARGV[1] .. ':sender'
local owner = redis.call('GET', lease)
if owner and owner ~= ARGV[2] then return {} end
local entries = redis.call('XRANGE', 'presence:outbox:' .. ARGV[1], '-', '+', 'COUNT', ARGV[4])
if #entries == 0 then
  redis.call('DEL', lease)
else
  redis.call('SET', lease, ARGV[2], 'PX', ARGV[3])
end
return entries
