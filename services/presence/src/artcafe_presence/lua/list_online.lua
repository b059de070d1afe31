-- Returns the clients of a tenant that have a live connection as JSON, unless it has more connections than the limit.
-- ARGV: tenant, limit
local live = tenant_key(ARGV[1])
if redis.call('SCARD', live) > tonumber(ARGV[2]) then return cjson.encode({complete = false}) end
local clients, found = {}, {}
for _, id in ipairs(redis.call('SMEMBERS', live)) do
  local client = redis.call('HGET', connection_key(id), 'client')
  if client and client ~= '' and not found[client] then
    found[client] = true
    local last_seen = tonumber(redis.call('HGET', client_key(client), 'last_seen'))
    if last_seen then table.insert(clients, {client_id = client, last_seen = last_seen}) end
  end
end
-- An empty table would be an object.
return cjson.encode({complete = true, clients = #clients > 0 and clients or nil})
