-- Ends connections whose heartbeat, or whose gateway's, is overdue.
-- ARGV: longest gap between checks (ms), heartbeat timeout (ms), gateway grace (ms), limit
-- Returns the number of emitted entries, whether more are due, and whether the live state was lost.
local limit = tonumber(ARGV[4])

local function extend_deadlines(key, deadline)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. string.format('%d', deadline))) do
    redis.call('ZADD', key, deadline, member)
  end
end

-- While no instance ran, heartbeats were not received. Deadlines are extended by that time, plus two
-- seconds for the messages that are still queued.
local last_check = redis.call('GET', 'presence:alive_at')
redis.call('SET', 'presence:alive_at', now)
local gap = last_check and now - tonumber(last_check) or 0
if gap > tonumber(ARGV[1]) then
  extend_deadlines(DEADLINES, now + math.min(tonumber(ARGV[2]), gap + 2000))
  extend_deadlines(GATEWAYS, now + math.min(tonumber(ARGV[3]), gap + 2000))
end

local overdue = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(overdue) do
  local c = load_connection(id)
  -- The connection stays stored: its next heartbeat makes it live again.
  if c then mark_ended(c, c.last_seen, 'heartbeat_timeout') else redis.call('ZREM', DEADLINES, id) end
end

local remaining = limit - #overdue
local more_due = #overdue == limit
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', GATEWAYS, '-inf', now, 'LIMIT', 0, 16)) do
  for _, id in ipairs(redis.call('SPOP', holder_key(instance), math.max(remaining, 0))) do
    remaining = remaining - 1
    local c = load_connection(id)
    if c then
      -- Stored for another hour, in case the gateway was only unreachable and a heartbeat arrives.
      mark_ended(c, c.last_seen, 'gateway_gone')
      redis.call('ZREM', RENEWALS, id)
      redis.call('EXPIRE', connection_key(id), 3600)
    end
  end
  if redis.call('EXISTS', holder_key(instance)) == 0 then
    redis.call('ZREM', GATEWAYS, instance)
  else
    more_due = true
  end
end
return {emitted, more_due and 1 or 0, redis.call('EXISTS', 'presence:restored') == 0 and 1 or 0}
