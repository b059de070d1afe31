-- Claim a request unless it is claimed or completed. KEYS: its record, then its records under other accepted keys.
-- ARGV: our claim, its lifetime in ms. Returns the place and the record of another request; false when the claim is ours.
for place, name in ipairs(KEYS) do
  local found = redis.call('GET', name)
  if found and found ~= ARGV[1] then return {place, found} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
