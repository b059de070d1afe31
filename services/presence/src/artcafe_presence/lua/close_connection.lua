-- Closes a connection. ARGV: connection id, reason
-- The tombstone keeps an open event that arrives late, or again, from reopening it.
redis.call('SET', tombstone_key(ARGV[1]), '1', 'EX', TOMBSTONE_TTL)
delete_connection(ARGV[1], ARGV[2])
return emitted
