-- Renews or releases an instance's lease of an outbox.
-- ARGV: outbox, lease token, lease duration (ms; 0 releases the lease)
local lease = 'presence:outbox:' .. ARGV[1] .. ':sender'
if redis.call('GET', lease) == ARGV[2] then
  if ARGV[3] == '0' then redis.call('DEL', lease) else redis.call('PEXPIRE', lease, ARGV[3]) end
end
return 0
