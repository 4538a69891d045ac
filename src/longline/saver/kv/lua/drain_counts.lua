-- Makes batches of what was counted, for who carries them to their apps' homes; counts who was there in hours and days
-- that are over. KEYS: tag. ARGV: now, how many apps at most, then of batches that were carried: app, number.
-- Returns for each batch {app, number, {field, count, …}}.
-- include: counting.lua

local tag, now, limit = KEYS[1], tonumber(ARGV[1]), ARGV[2]
for i = 3, #ARGV, 2 do
  local app = ARGV[i]
  if redis.call('HGET', tag .. 'aq', app) == ARGV[i + 1] then
    redis.call('DEL', tag .. 'ab:' .. app)
    if redis.call('EXISTS', tag .. 'ac:' .. app) == 0 then redis.call('SREM', tag .. 'an', app) end
  end
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'ao', '-inf', math.floor(now / HOUR), 'LIMIT', 0, limit)) do
  local span, app, period = string.match(member, '^(.):(%d+):(%d+)$')
  local key = tag .. 'a' .. span .. ':' .. app .. ':' .. period
  local there = redis.call('BITCOUNT', key)
  if there > 0 and redis.call('SISMEMBER', tag .. 'gone', app) == 0 then
    if span == 'h' then count(tag, app, period * HOUR, 'a', there)
    else count(tag, app, period * 24 * HOUR, 'A', there) end
  end
  redis.call('DEL', key)
  redis.call('ZREM', tag .. 'ao', member)
end

local batches, time = {}, redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
for _, app in ipairs(redis.call('SRANDMEMBER', tag .. 'an', limit)) do
  local batch = tag .. 'ab:' .. app
  if redis.call('EXISTS', batch) == 0 and redis.call('EXISTS', tag .. 'ac:' .. app) == 1 then
    redis.call('RENAME', tag .. 'ac:' .. app, batch)
    local number = math.max(clock, tonumber(redis.call('HGET', tag .. 'aq', app) or 0) + 1)
    redis.call('HSET', tag .. 'aq', app, string.format('%.0f', number))
  end
  local counted = redis.call('HGETALL', batch)
  if #counted > 0 then
    batches[#batches + 1] = { app, redis.call('HGET', tag .. 'aq', app), counted }
  else
    redis.call('SREM', tag .. 'an', app)
  end
end
return batches
