-- Take one from each bucket, or from none when one is empty.
-- KEYS: the buckets. ARGV: the limit and period (ms) of each.
-- A bucket is the time at which it will be full again: a full one is not there at all.
-- Returns for each: whether there was one, how many are left, and in how many ms it is full, or has one.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local found, allowed = {}, true
for i, key in ipairs(KEYS) do
  local limit, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = tonumber(redis.call('GET', key) or now)
  -- A clock that was set back empties a bucket for one period at most.
  full_at = math.min(math.max(full_at, now), now + period)
  local wait = full_at + period / limit - now - period
  -- Sums of fractions are a little off.
  if wait > 0.001 then allowed = false end
  found[i] = {full_at = full_at, step = period / limit, period = period, wait = wait}
end
local answer = {}
for i, key in ipairs(KEYS) do
  local one = found[i]
  if allowed then
    one.full_at = one.full_at + one.step
    redis.call('SET', key, string.format('%.3f', one.full_at), 'PX', math.ceil(one.full_at - now))
  end
  answer[i] = {
    one.wait > 0.001 and 0 or 1,
    math.floor((one.period - (one.full_at - now) + 0.001) / one.step),
    math.ceil(one.full_at - now),
    math.ceil(math.max(one.wait, 0))}
end
return answer
