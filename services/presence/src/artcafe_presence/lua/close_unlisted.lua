-- Connections that the broker no longer lists. ARGV: when the listing began (ms), connection ids…
-- One that was opened since is none of them; none gets a tombstone, for a listing may have gaps.
for i = 2, #ARGV do
  local known_at = redis.call('HGET', connection_key(ARGV[i]), 'known_at')
  if known_at and tonumber(known_at) < tonumber(ARGV[1]) then close(ARGV[i], 'vanished') end
end
return emitted
