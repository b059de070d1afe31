-- The clients of one tenant, as JSON; another tenant's are as good as unknown.
-- ARGV: tenant, client ids…
local found = {}
local fields = {'tenant', 'last_seen', 'beat_at', 'beating', 'status', 'reason'}
for i = 2, #ARGV do
  local client = ARGV[i]
  local got = redis.call('HMGET', client_key(client), unpack(fields))
  local one = {client_id = client}
  if got[1] == ARGV[1] then
    one.online = redis.call('SCARD', live_key(client)) > 0
    one.last_seen = tonumber(got[2])
    one.beat_at = got[3] and tonumber(got[3]) or nil
    one.beating = tonumber(got[4] or 0) > 0
    one.status = got[5] or nil
    one.reason = got[6] or nil
    if #ARGV == 2 then
      one.metrics = redis.call('HGET', client_key(client), 'metrics') or nil
      one.metadata = redis.call('HGET', client_key(client), 'metadata') or nil
      for _, id in ipairs(redis.call('SMEMBERS', live_key(client))) do
        local c = load(id)
        if c then
          one.connections = one.connections or {}
          table.insert(one.connections, {
            connection_id = id, transport = c.transport, server = c.server, ip = c.ip,
            connected_at = tonumber(c.connected_at), last_seen = tonumber(c.last_seen)})
        end
      end
    end
  end
  table.insert(found, one)
end
return cjson.encode({now = now, clients = found})
