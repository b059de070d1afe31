-- Extends the deadline of a gateway process. ARGV: instance, timeout (ms)
redis.call('ZADD', GATEWAYS, now + ARGV[2], ARGV[1])
return 0
