-- Closes connections that the broker no longer lists. ARGV: time of the list (ms), connection ids…
-- Connections stored since then stay open. No tombstone is written, because a list can have gaps.
for i = 2, #ARGV do
  local known_at = redis.call('HGET', connection_key(ARGV[i]), 'known_at')
  if known_at and tonumber(known_at) < tonumber(ARGV[1]) then delete_connection(ARGV[i], 'vanished') end
end
return emitted
