-- Connections that a gateway or the broker reports; one that is known, or closed already, stays as it is.
-- ARGV: heartbeat timeout (ms), grace for a gateway that was not heard yet (ms), connections (JSON)
for _, c in ipairs(cjson.decode(ARGV[3])) do
  local over_websocket = c.transport == 'websocket'
  if not over_websocket then redis.call('HSET', SERVERS, c.server, c.holder) end
  redis.call('ZREM', reserved_key(c.tenant), c.id)
  local known = load(c.id)
  if not known then
    if redis.call('EXISTS', tombstone_key(c.id)) == 0 then
      -- Being admitted is a WebSocket's first sign of life; a NATS connection owes none.
      c.beats = over_websocket and '1' or '0'
      create(c)
      if over_websocket then
        redis.call('ZADD', DEADLINES, now + ARGV[1], c.id)
        redis.call('ZADD', GATEWAYS, 'NX', now + ARGV[2], c.holder)
      end
    end
  elseif not over_websocket then
    -- A heartbeat may have come before the broker's word, which knows more.
    if known.ip == '' and c.ip then redis.call('HSET', connection_key(c.id), 'ip', c.ip) end
    if known.beats == '0' and is_live(known.client, c.id) then
      redis.call('HSET', connection_key(c.id), 'last_seen', now)
      redis.call('HSET', client_key(known.client), 'last_seen', now)
    end
  end
end
return emitted
