-- Go on as the sender of an outbox, or cease to be it. ARGV: outbox, token, for how long (ms, 0: no longer)
local lock = 'presence:outbox:' .. ARGV[1] .. ':sender'
if redis.call('GET', lock) == ARGV[2] then
  if ARGV[3] == '0' then redis.call('DEL', lock) else redis.call('PEXPIRE', lock, ARGV[3]) end
end
return 0
