-- What time ended: heartbeats that did not come, gateways that fell silent.
-- ARGV: how long nobody may have listened (ms), heartbeat timeout (ms), gateway grace (ms), limit
-- Returns what was emitted, whether more is due, and whether the live state was lost.
local limit = tonumber(ARGV[4])

local function postpone(key, until_)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. string.format('%d', until_))) do
    redis.call('ZADD', key, until_, member)
  end
end

-- Silence says nothing of a time in which nobody listened: it is given back, with a moment for
-- what was sent meanwhile and is still under way.
local heard = redis.call('GET', 'presence:alive_at')
redis.call('SET', 'presence:alive_at', now)
local gap = heard and now - tonumber(heard) or 0
if gap > tonumber(ARGV[1]) then
  postpone(DEADLINES, now + math.min(tonumber(ARGV[2]), gap + 2000))
  postpone(GATEWAYS, now + math.min(tonumber(ARGV[3]), gap + 2000))
end

local late = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(late) do
  local c = load(id)
  -- The connection stays known: its next heartbeat brings it back.
  if c then down(c, c.last_seen, 'heartbeat_timeout') else redis.call('ZREM', DEADLINES, id) end
end

local left = limit - #late
local due = #late == limit
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', GATEWAYS, '-inf', now, 'LIMIT', 0, 16)) do
  for _, id in ipairs(redis.call('SPOP', holder_key(instance), math.max(left, 0))) do
    left = left - 1
    local c = load(id)
    if c then
      -- Forgotten soon, unless the gateway was only out of reach and a heartbeat says so.
      down(c, c.last_seen, 'gateway_gone')
      redis.call('ZREM', RENEWALS, id)
      redis.call('EXPIRE', connection_key(id), 3600)
    end
  end
  if redis.call('EXISTS', holder_key(instance)) == 0 then
    redis.call('ZREM', GATEWAYS, instance)
  else
    due = true
  end
end
return {emitted, due and 1 or 0, redis.call('EXISTS', 'presence:restored') == 0 and 1 or 0}
