-- Prepended to every script. Keys are composed in the scripts, so the counters need a single Redis
-- primary, not a cluster.
local DAY = 86400
local MINUTES_TTL = 2 * 3600
local MAX_DISTINCT = 10000 -- clients or channels that are counted separately, per tenant and day
local FIELDS = {'messages', 'deliveries', 'bytes_in', 'bytes_out', 'api_calls', 'connection_seconds'}
local expiry = {} -- seconds by key, applied by apply_expiry

local function add(key, seconds, amounts)
  for i, field in ipairs(FIELDS) do
    local amount = amounts[i] or 0
    if amount ~= 0 then
      redis.call('HINCRBY', key, field, string.format('%.0f', amount))
      expiry[key] = seconds
    end
  end
end

-- The id under which a client or channel is counted: its own, or 'other' beyond MAX_DISTINCT.
-- A negative correction alone does not make it active.
local function counted_id(day, tenant, kind, id, amounts)
  local set = 'active:d:' .. day .. ':' .. tenant .. ':' .. kind .. 's'
  if redis.call('SISMEMBER', set, id) == 1 then return id end
  if redis.call('SCARD', set) >= MAX_DISTINCT then return 'other' end
  for i = 1, #FIELDS do
    if (amounts[i] or 0) > 0 then
      redis.call('SADD', set, id)
      expiry[set] = 90 * DAY
      break
    end
  end
  return id
end

-- Adds amounts to the counters of a tenant's minute, hour, day and month, and of its client and channel.
local function count(bucket, tenant, client, channel, amounts)
  local any = false
  for i = 1, #FIELDS do any = any or (amounts[i] or 0) ~= 0 end
  if not any then return end
  local day, hour, minute = bucket[1], bucket[2], bucket[3]
  local daily = 'stats:d:' .. day .. ':' .. tenant
  add(daily, 90 * DAY, amounts)
  add('stats:h:' .. day .. ':' .. hour .. ':' .. tenant, 30 * DAY, amounts)
  add('stats:min:' .. day .. ':' .. hour .. minute .. ':' .. tenant, MINUTES_TTL, amounts)
  add('stats:m:' .. string.sub(day, 1, 6) .. ':' .. tenant, 400 * DAY, amounts)
  for kind, id in pairs({client = client, channel = channel}) do
    if id ~= '' then
      add(daily .. ':' .. kind .. ':' .. counted_id(day, tenant, kind, id, amounts), 90 * DAY, amounts)
    end
  end
  redis.call('SADD', 'meter:tenants:' .. day, tenant)
  expiry['meter:tenants:' .. day] = 90 * DAY
end

-- Raises a connection's stored totals to the given ones; returns by how much each grew.
local function raise_totals(key, totals)
  local names = {}
  for name in pairs(totals) do names[#names + 1] = name end
  local stored, growth = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do
    growth[name] = math.max(0, totals[name] - (tonumber(stored[i]) or 0))
    if growth[name] > 0 or not stored[i] then
      redis.call('HSET', key, name, string.format('%.0f', totals[name]))
    end
  end
  return growth
end

-- A connection's totals are stored well beyond the time in which it can be reported again.
local function extend_connection(key)
  expiry[key] = redis.call('HEXISTS', key, 'ended') == 1 and 2 * DAY or 14 * DAY
end

-- Counts what was published over a reconciled bridge beyond its gateway's reports. A late report
-- reduces this amount, because its batch counts the same messages.
local function count_unreported(key, bucket)
  local bridge = redis.call('HMGET', key, 'settled', 'tenant', 'in_msgs', 'in_bytes', 'reported_msgs',
    'reported_bytes', 'unreported_msgs', 'unreported_bytes')
  if not bridge[1] or not bridge[2] then return end
  local n = {}
  for i = 3, 8 do n[i] = tonumber(bridge[i]) or 0 end
  local msgs, bytes = math.max(0, n[3] - n[5]), math.max(0, n[4] - n[6])
  if msgs == 0 then bytes = 0 end
  count(bucket, bridge[2], '', '', {msgs - n[7], 0, bytes - n[8]})
  redis.call('HSET', key, 'unreported_msgs', string.format('%.0f', msgs), 'unreported_bytes',
    string.format('%.0f', bytes))
end

local function apply_expiry()
  for key, seconds in pairs(expiry) do redis.call('EXPIRE', key, seconds) end
end
