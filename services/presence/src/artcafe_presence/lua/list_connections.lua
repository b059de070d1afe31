-- Returns a tenant's live connections as JSON. ARGV: tenant
local connections = {}
for _, id in ipairs(redis.call('SMEMBERS', tenant_key(ARGV[1]))) do
  local c = redis.call('HMGET', connection_key(id), 'transport', 'connected_at')
  if c[1] then
    table.insert(connections, {id = id, transport = c[1], connected_at = tonumber(c[2])})
  else
    redis.call('SREM', tenant_key(ARGV[1]), id)
  end
end
return #connections == 0 and '[]' or cjson.encode(connections)
