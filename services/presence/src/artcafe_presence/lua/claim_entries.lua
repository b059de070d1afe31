-- The oldest entries of an outbox, for the one instance that may send them now; nothing for others.
-- ARGV: outbox, token of the instance, for how long (ms), limit
local lock = 'presence:outbox:' .. ARGV[1] .. ':sender'
local sender = redis.call('GET', lock)
if sender and sender ~= ARGV[2] then return {} end
local entries = redis.call('XRANGE', 'presence:outbox:' .. ARGV[1], '-', '+', 'COUNT', ARGV[4])
if #entries == 0 then
  redis.call('DEL', lock)
else
  redis.call('SET', lock, ARGV[2], 'PX', ARGV[3])
end
return entries
