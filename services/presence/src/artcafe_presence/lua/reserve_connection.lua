-- Reserves a slot for a connection that is about to open; returns 0 when the limit is reached.
-- ARGV: tenant, connection id, limit, duration of the reservation (ms)
-- Reservations and live connections count together, so that concurrent handshakes cannot exceed the limit.
local reserved, live = reserved_key(ARGV[1]), tenant_key(ARGV[1])
redis.call('ZREMRANGEBYSCORE', reserved, '-inf', now)
if redis.call('ZSCORE', reserved, ARGV[2]) or redis.call('SISMEMBER', live, ARGV[2]) == 1 then return 1 end
if redis.call('SCARD', live) + redis.call('ZCARD', reserved) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', reserved, now + ARGV[4], ARGV[2])
redis.call('EXPIRE', reserved, 60)
return 1
