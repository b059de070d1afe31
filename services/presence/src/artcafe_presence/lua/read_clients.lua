-- Returns the states of a tenant's clients as JSON; another tenant's client looks like an unknown one.
-- ARGV: tenant, 1 for what several clients announced of themselves, client ids…
local clients = {}
local fields = {'tenant', 'last_seen', 'beat_at', 'beating', 'status', 'reason'}
for i = 3, #ARGV do
  local id = ARGV[i]
  local stored = redis.call('HMGET', client_key(id), unpack(fields))
  local client = {client_id = id}
  if stored[1] == ARGV[1] then
    client.online = redis.call('SCARD', live_key(id)) > 0
    client.last_seen = tonumber(stored[2])
    client.last_heartbeat_at = stored[3] and tonumber(stored[3]) or nil
    client.sends_heartbeats = tonumber(stored[4] or 0) > 0
    client.status = stored[5] or nil
    client.reason = stored[6] or nil
    if #ARGV == 3 or ARGV[2] == '1' then
      client.metadata = redis.call('HGET', client_key(id), 'metadata') or nil
      client.capabilities = redis.call('HGET', client_key(id), 'capabilities') or nil
    end
    if #ARGV == 3 then
      client.metrics = redis.call('HGET', client_key(id), 'metrics') or nil
      client.traffic = redis.call('HGET', client_key(id), 'traffic') or nil
      for _, connection_id in ipairs(redis.call('SMEMBERS', live_key(id))) do
        local c = load_connection(connection_id)
        if c then
          client.connections = client.connections or {}
          table.insert(client.connections, {
            connection_id = connection_id, transport = c.transport, server = c.server, ip = c.ip,
            connected_at = tonumber(c.connected_at), last_seen = tonumber(c.last_seen)})
        end
      end
    end
  end
  table.insert(clients, client)
end
return cjson.encode({now = now, clients = clients})
