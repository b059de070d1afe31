-- Renews the expiry of long-lived connections, in Redis and in the table. ARGV: limit
-- Returns the number of emitted entries, and whether more connections are due.
local due = redis.call('ZRANGEBYSCORE', RENEWALS, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  local c = load_connection(id)
  if c then
    extend_ttls(c)
    if is_live(c.client, id) then emit_row(c, true) end
  else
    redis.call('ZREM', RENEWALS, id)
  end
end
return {emitted, #due == tonumber(ARGV[1]) and 1 or 0}
