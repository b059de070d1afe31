-- Adds connections that a gateway or the broker reports; stored or closed ones are not changed.
-- ARGV: heartbeat timeout (ms), grace for a gateway without a deadline (ms), connections (JSON)
for _, c in ipairs(cjson.decode(ARGV[3])) do
  local is_websocket = c.transport == 'websocket'
  if not is_websocket then redis.call('HSET', SERVERS, c.server, c.holder) end
  redis.call('ZREM', reserved_key(c.tenant), c.id)
  local stored = load_connection(c.id)
  if not stored then
    if redis.call('EXISTS', tombstone_key(c.id)) == 0 then
      -- A WebSocket must send heartbeats from the start, a NATS connection only after its first one.
      c.beats = is_websocket and '1' or '0'
      create_connection(c)
      if is_websocket then
        redis.call('ZADD', DEADLINES, now + ARGV[1], c.id)
        redis.call('ZADD', GATEWAYS, 'NX', now + ARGV[2], c.holder)
      end
    end
  elseif not is_websocket then
    -- A heartbeat can arrive before the broker's event, which also has the address.
    if stored.ip == '' and c.ip then redis.call('HSET', connection_key(c.id), 'ip', c.ip) end
    if stored.beats == '0' and is_live(stored.client, c.id) then
      redis.call('HSET', connection_key(c.id), 'last_seen', now)
      redis.call('HSET', client_key(stored.client), 'last_seen', now)
    end
  end
end
return emitted
