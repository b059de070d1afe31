-- A connection that ended. ARGV: connection id, reason
-- The tombstone keeps an open that comes late, or again, from bringing it back.
redis.call('SET', tombstone_key(ARGV[1]), '1', 'EX', TOMBSTONE_TTL)
close(ARGV[1], ARGV[2])
return emitted
