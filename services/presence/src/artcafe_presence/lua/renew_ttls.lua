-- Connections that last get their time to live renewed, here and in the table. ARGV: limit
-- Returns what was emitted, and whether more is due.
local due = redis.call('ZRANGEBYSCORE', RENEWALS, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  local c = load(id)
  if c then
    keep(c)
    if is_live(c.client, id) then emit_row(c, true) end
  else
    redis.call('ZREM', RENEWALS, id)
  end
end
return {emitted, #due == tonumber(ARGV[1]) and 1 or 0}
