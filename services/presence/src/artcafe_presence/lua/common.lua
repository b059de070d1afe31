-- Prepended to every script: the keys, and how a connection becomes live and stops being live.
-- All times are milliseconds of Redis's clock, so that instances' clocks need not agree.
-- Keys are composed in the scripts, so the live state needs a single Redis primary, not a cluster.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local DAY = 86400
local CLIENT_TTL = 90 * DAY
local TOMBSTONE_TTL = 600
local RENEW_AFTER = 6 * 3600 * 1000
local OUTBOX_LENGTH = 1000000
local DEADLINES = 'presence:deadlines'
local GATEWAYS = 'presence:gateways'
local RENEWALS = 'presence:renewals'
local BROKERS = 'presence:brokers'
local SERVERS = 'presence:servers'
local emitted = 0

local function connection_key(id) return 'presence:connection:' .. id end
local function tombstone_key(id) return 'presence:closed:' .. id end
local function client_key(client) return 'presence:client:' .. client end
local function live_key(client) return 'presence:live:' .. client end
local function tenant_key(tenant) return 'presence:tenant:' .. tenant end
local function reserved_key(tenant) return 'presence:reserved:' .. tenant end
local function holder_key(holder) return 'presence:holder:' .. holder end

local function load_connection(id)
  local flat = redis.call('HGETALL', connection_key(id))
  if #flat == 0 then return nil end
  local c = {id = id}
  for i = 1, #flat, 2 do c[flat[i]] = flat[i + 1] end
  return c
end

local function is_live(client, id)
  return redis.call('SISMEMBER', live_key(client), id) == 1
end

-- Transactional outbox: the entry is written with the change, and a relay sends it later.
local function emit(outbox, entry)
  emitted = emitted + 1
  redis.call('XADD', 'presence:outbox:' .. outbox, 'MAXLEN', '~', OUTBOX_LENGTH, '*',
    'data', cjson.encode(entry))
end

local function emit_row(c, live)
  if not live then
    emit('rows', {live = false, connection_id = c.id, tenant_id = c.tenant})
    return
  end
  emit('rows', {
    live = true, connection_id = c.id, tenant_id = c.tenant, client_id = c.client, account = c.account,
    transport = c.transport, server = c.server, instance = c.holder,
    connected_at = tonumber(c.connected_at), ip = c.ip, kind = c.kind or 'client'})
end

local function emit_transition(c, online, last_seen, reason)
  emit('transitions', {
    tenant_id = c.tenant, client_id = c.client, account = c.account, online = online, beats = c.beats == '1',
    last_seen = tonumber(last_seen), reason = reason, ip = c.ip, kind = c.kind or 'client'})
end

local function extend_ttls(c)
  redis.call('EXPIRE', connection_key(c.id), DAY)
  redis.call('EXPIRE', tenant_key(c.tenant), DAY)
  redis.call('EXPIRE', holder_key(c.holder), DAY)
  redis.call('ZADD', RENEWALS, now + RENEW_AFTER, c.id)
  if c.client == '' then return end
  redis.call('EXPIRE', live_key(c.client), DAY)
  redis.call('EXPIRE', client_key(c.client), CLIENT_TTL)
end

-- Makes a stored connection live. Idempotent.
local function mark_live(c)
  -- A connection of no client counts for the plan only; the broker's lists restore it.
  if c.client == '' then
    redis.call('SADD', tenant_key(c.tenant), c.id)
    redis.call('SADD', holder_key(c.holder), c.id)
    extend_ttls(c)
    return
  end
  if redis.call('SADD', live_key(c.client), c.id) == 0 then return end
  local key = client_key(c.client)
  redis.call('SADD', tenant_key(c.tenant), c.id)
  redis.call('SADD', holder_key(c.holder), c.id)
  redis.call('HSET', key, 'tenant', c.tenant, 'last_seen', now)
  if redis.call('SCARD', live_key(c.client)) == 1 then
    redis.call('HDEL', key, 'status', 'beat_at', 'beating', 'reason')
    emit_transition(c, true, now, '')
  end
  if c.beats == '1' then
    redis.call('HINCRBY', key, 'beating', 1)
    redis.call('HSET', key, 'beat_at', now)
  end
  extend_ttls(c)
  emit_row(c, true)
end

-- Ends a live connection, but keeps it stored: a later report can make it live again. Idempotent.
local function mark_ended(c, at, reason)
  redis.call('ZREM', DEADLINES, c.id)
  if c.client == '' then
    redis.call('SREM', tenant_key(c.tenant), c.id)
    return
  end
  if redis.call('SREM', live_key(c.client), c.id) == 0 then return end
  local key = client_key(c.client)
  redis.call('SREM', tenant_key(c.tenant), c.id)
  local last_seen = math.max(tonumber(at), tonumber(redis.call('HGET', key, 'last_seen') or 0))
  redis.call('HSET', key, 'last_seen', last_seen)
  if c.beats == '1' then redis.call('HINCRBY', key, 'beating', -1) end
  emit_row(c, false)
  if redis.call('SCARD', live_key(c.client)) == 0 then
    redis.call('HSET', key, 'reason', reason)
    emit_transition(c, false, last_seen, reason)
  end
end

local function create_connection(c)
  c.connected_at = c.connected_at or now
  redis.call('HSET', connection_key(c.id),
    'tenant', c.tenant, 'client', c.client, 'account', c.account, 'transport', c.transport,
    'server', c.server, 'holder', c.holder, 'connected_at', c.connected_at, 'last_seen', now,
    'known_at', now, 'ip', c.ip or '', 'kind', c.kind or 'client', 'beats', c.beats)
  c.ip = c.ip or ''
  if c.transport == 'nats' then redis.call('SADD', BROKERS, c.holder) end
  mark_live(c)
end

local function delete_connection(id, reason)
  local c = load_connection(id)
  if not c then return end
  mark_ended(c, now, reason)
  redis.call('SREM', holder_key(c.holder), id)
  redis.call('ZREM', RENEWALS, id)
  redis.call('DEL', connection_key(id))
end
