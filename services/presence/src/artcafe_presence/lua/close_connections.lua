-- Closes connections. ARGV: connections (JSON)
-- The tombstone keeps an open event that arrives late, or again, from reopening one.
for _, closed in ipairs(cjson.decode(ARGV[1])) do
  redis.call('SET', tombstone_key(closed.id), '1', 'EX', TOMBSTONE_TTL)
  redis.call('ZREM', reserved_key(closed.tenant), closed.id)
  delete_connection(closed.id, closed.reason)
end
return emitted
