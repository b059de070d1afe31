-- What clients say of themselves. ARGV: heartbeat timeout (ms), reports (JSON)
-- A report names its connection, or for direct NATS the broker's name and connection number.
-- Returns what was emitted, and how many reports came from a broker that is not known yet.
local timeout = tonumber(ARGV[1])
local strangers = 0

local function find(item)
  if item.connection_id then return item.connection_id end
  local holder = redis.call('HGET', SERVERS, item.server)
  if not holder then
    strangers = strangers + 1
    return nil
  end
  local id = 'nats:' .. holder .. ':' .. item.cid
  if redis.call('EXISTS', connection_key(id)) == 0 and redis.call('EXISTS', tombstone_key(id)) == 0 then
    create({id = id, tenant = item.tenant_id, client = item.client_id, account = item.account,
      transport = 'nats', server = item.server, holder = holder, beats = '0'})
  end
  return id
end

local function beat(id, item, live, beats)
  if beats ~= '1' then
    redis.call('HSET', connection_key(id), 'beats', '1')
    if live then redis.call('HINCRBY', client_key(item.client_id), 'beating', 1) end
  end
  if not live then up(load(id)) end
  redis.call('HSET', connection_key(id), 'last_seen', now)
  redis.call('ZADD', DEADLINES, now + timeout, id)
  redis.call('HSET', client_key(item.client_id), 'last_seen', now, 'beat_at', now)
end

for _, item in ipairs(cjson.decode(ARGV[2])) do
  local id = find(item)
  local owner = id and redis.call('HMGET', connection_key(id), 'tenant', 'client', 'beats')
  -- Nobody speaks for another client, whatever the connection is called.
  if owner and owner[1] == item.tenant_id and owner[2] == item.client_id then
    local live = is_live(item.client_id, id)
    if item.act == 'beat' then
      beat(id, item, live, owner[3])
    elseif item.act == 'connect' then
      if not live then up(load(id)) end
      if owner[3] == '1' then redis.call('ZADD', DEADLINES, now + timeout, id) end
    elseif item.act == 'disconnect' then
      down(load(id), now, 'disconnect')
    end
    for _, field in ipairs({'status', 'metrics', 'metadata'}) do
      if item[field] then redis.call('HSET', client_key(item.client_id), field, item[field]) end
    end
  end
end
return {emitted, strangers}
