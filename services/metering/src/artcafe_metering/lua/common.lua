-- Stands before every counting script. Keys are made here from what a count is about: one Redis
-- holds them all, and a script is the only way to change several of them at once.
local DAY = 86400
local DISTINCT = 10000 -- clients or channels of a tenant and day that are told apart
local FIELDS = {'messages', 'deliveries', 'bytes_in', 'bytes_out', 'api_calls', 'connection_seconds'}
local expiry = {}

local function add(key, days, amounts)
  for i, field in ipairs(FIELDS) do
    local amount = amounts[i] or 0
    if amount ~= 0 then
      redis.call('HINCRBY', key, field, string.format('%.0f', amount))
      expiry[key] = days * DAY
    end
  end
end

-- The id under which a client or channel is counted today; a correction makes nobody active.
local function told_apart(day, tenant, kind, id, amounts)
  local set = 'active:d:' .. day .. ':' .. tenant .. ':' .. kind .. 's'
  if redis.call('SISMEMBER', set, id) == 1 then return id end
  if redis.call('SCARD', set) >= DISTINCT then return 'other' end
  for i = 1, #FIELDS do
    if (amounts[i] or 0) > 0 then
      redis.call('SADD', set, id)
      expiry[set] = 90 * DAY
      break
    end
  end
  return id
end

local function count(when, tenant, client, channel, amounts)
  local any = false
  for i = 1, #FIELDS do any = any or (amounts[i] or 0) ~= 0 end
  if not any then return end
  local day, hour = when[1], when[2]
  local daily = 'stats:d:' .. day .. ':' .. tenant
  add(daily, 90, amounts)
  add('stats:h:' .. day .. ':' .. hour .. ':' .. tenant, 30, amounts)
  add('stats:m:' .. string.sub(day, 1, 6) .. ':' .. tenant, 400, amounts)
  for kind, id in pairs({client = client, channel = channel}) do
    if id ~= '' then
      add(daily .. ':' .. kind .. ':' .. told_apart(day, tenant, kind, id, amounts), 90, amounts)
    end
  end
  redis.call('SADD', 'meter:tenants:' .. day, tenant)
  expiry['meter:tenants:' .. day] = 90 * DAY
end

-- Raise totals of a connection to what was just seen; by how much each grew.
local function raise(key, totals)
  local names = {}
  for name in pairs(totals) do names[#names + 1] = name end
  local before, grown = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do
    grown[name] = math.max(0, totals[name] - (tonumber(before[i]) or 0))
    if grown[name] > 0 or not before[i] then
      redis.call('HSET', key, name, string.format('%.0f', totals[name]))
    end
  end
  return grown
end

-- A connection is remembered well beyond the time in which it can be heard of again.
local function remember(key)
  expiry[key] = redis.call('HEXISTS', key, 'ended') == 1 and 2 * DAY or 14 * DAY
end

-- Count what a bridge that has ended took in beyond its gateway's reports. A report that comes
-- late takes back what was counted here: its batch has counted the same messages.
local function settle(key, when)
  local bridge = redis.call('HMGET', key, 'settled', 'tenant', 'in_msgs', 'in_bytes', 'reported_msgs',
    'reported_bytes', 'unreported_msgs', 'unreported_bytes')
  if not bridge[1] or not bridge[2] then return end
  local n = {}
  for i = 3, 8 do n[i] = tonumber(bridge[i]) or 0 end
  local msgs, bytes = math.max(0, n[3] - n[5]), math.max(0, n[4] - n[6])
  if msgs == 0 then bytes = 0 end
  count(when, bridge[2], '', '', {msgs - n[7], 0, bytes - n[8]})
  redis.call('HSET', key, 'unreported_msgs', string.format('%.0f', msgs), 'unreported_bytes',
    string.format('%.0f', bytes))
end

local function finish()
  for key, seconds in pairs(expiry) do redis.call('EXPIRE', key, seconds) end
end
