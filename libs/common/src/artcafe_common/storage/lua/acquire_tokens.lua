-- Takes one token from each bucket, or from none if one of them is empty.
-- KEYS: the buckets. ARGV: the limit and the period (ms) of each.
-- A bucket's value is the time at which it will be full; a full bucket is not stored.
-- Returns for each bucket: 1 if it had a token, else 0; the tokens left; the ms until it is full; the ms until it
-- has a token.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local buckets, allowed = {}, true
for i, key in ipairs(KEYS) do
  local limit, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = tonumber(redis.call('GET', key) or now)
  -- If the clock was set back, the bucket is empty for one period at most.
  full_at = math.min(math.max(full_at, now), now + period)
  local wait = full_at + period / limit - now - period
  -- Tolerates rounding errors.
  if wait > 0.001 then allowed = false end
  buckets[i] = {full_at = full_at, step = period / limit, period = period, wait = wait}
end
local results = {}
for i, key in ipairs(KEYS) do
  local bucket = buckets[i]
  if allowed then
    bucket.full_at = bucket.full_at + bucket.step
    redis.call('SET', key, string.format('%.3f', bucket.full_at), 'PX', math.ceil(bucket.full_at - now))
  end
  results[i] = {
    bucket.wait > 0.001 and 0 or 1,
    math.floor((bucket.period - (bucket.full_at - now) + 0.001) / bucket.step),
    math.ceil(bucket.full_at - now),
    math.ceil(math.max(bucket.wait, 0))}
end
return results
