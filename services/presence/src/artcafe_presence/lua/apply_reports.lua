-- Applies reports of clients. ARGV: heartbeat timeout (ms), reports (JSON)
-- A report names its connection by id, or for direct NATS by the broker's name and connection number.
-- Returns the number of emitted entries, and of reports from a nats-server that is not known yet.
local timeout = tonumber(ARGV[1])
local from_unknown_server = 0

local function find_connection_id(report)
  if report.connection_id then return report.connection_id end
  local holder = redis.call('HGET', SERVERS, report.server)
  if not holder then
    from_unknown_server = from_unknown_server + 1
    return nil
  end
  local id = 'nats:' .. holder .. ':' .. report.cid
  if redis.call('EXISTS', connection_key(id)) == 0 and redis.call('EXISTS', tombstone_key(id)) == 0 then
    create_connection({id = id, tenant = report.tenant_id, client = report.client_id,
      account = report.account, transport = 'nats', server = report.server, holder = holder, beats = '0'})
  end
  return id
end

local function apply_heartbeat(id, report, live, beats)
  if beats ~= '1' then
    redis.call('HSET', connection_key(id), 'beats', '1')
    if live then redis.call('HINCRBY', client_key(report.client_id), 'beating', 1) end
  end
  if not live then mark_live(load_connection(id)) end
  redis.call('HSET', connection_key(id), 'last_seen', now)
  redis.call('ZADD', DEADLINES, now + timeout, id)
  redis.call('HSET', client_key(report.client_id), 'last_seen', now, 'beat_at', now)
end

for _, report in ipairs(cjson.decode(ARGV[2])) do
  local id = find_connection_id(report)
  local stored = id and redis.call('HMGET', connection_key(id), 'tenant', 'client', 'beats')
  -- A report on another client's connection is ignored.
  if stored and stored[1] == report.tenant_id and stored[2] == report.client_id then
    local live = is_live(report.client_id, id)
    if report.type == 'heartbeat' then
      apply_heartbeat(id, report, live, stored[3])
    elseif report.type == 'connect' then
      if not live then mark_live(load_connection(id)) end
      if stored[3] == '1' then redis.call('ZADD', DEADLINES, now + timeout, id) end
    elseif report.type == 'disconnect' then
      mark_ended(load_connection(id), now, 'disconnect')
    end
    for _, field in ipairs({'status', 'metrics', 'traffic', 'metadata', 'capabilities'}) do
      if report[field] then redis.call('HSET', client_key(report.client_id), field, report[field]) end
    end
  end
end
return {emitted, from_unknown_server}
