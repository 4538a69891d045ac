-- Removes devices of a deleted app, the last first; each device, and each label of one, counts.
-- KEYS: tag. ARGV: app, limit, token of this call. Returns {how many, 1 when nothing is left}.
-- include: devices.lua
-- include: once.lua

local tag, app, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local before = answered(tag, 'purge', ARGV[3])
if before then
  local count, done = string.match(before, '(%d+) (%d)')
  return { tonumber(count), tonumber(done) }
end

local function answer(count, done)
  remember(tag, 'purge', ARGV[3], count .. ' ' .. done)
  return { count, done }
end

if redis.call('ZSCORE', tag .. 'due', app) then return { 0, 0 } end -- its messages go before its devices
local counter = tag .. 'next:' .. app
local place = tonumber(redis.call('GET', counter) or 0)
local removed = 0
while place > 0 do
  local key = device_key(tag, app, place - 1)
  local labels = redis.call('HGET', key, 't')
  local cost = 1 + #label_keys(tag, app, place - 1, labels)
  if removed > 0 and removed + cost > limit then
    redis.call('SET', counter, place)
    return answer(removed, 0)
  end
  label('SREM', tag, app, place - 1, labels)
  redis.call('DEL', key)
  place = place - 1
  removed = removed + math.min(cost, limit)
end
redis.call('UNLINK', tag .. 'n:' .. app, tag .. 'x:' .. app, counter)
redis.call('HDEL', tag .. 'given', app)
local retained = redis.call('ZCARD', tag .. 'rt:' .. app)
if retained > 0 and redis.call('DECRBY', tag .. 'rm', retained) == 0 then redis.call('DEL', tag .. 'rm') end
redis.call('HDEL', tag .. 'rn', app)
redis.call('ZREM', tag .. 'rd', app)
redis.call('SREM', tag .. 'ra', app)
for _, kind in ipairs({ 'u:', 'us:', 'ua:', 'ul:', 'ux:', 'rt:', 'rb:', 're:' }) do
  redis.call('UNLINK', tag .. kind .. app) -- which frees them beside the server's work, however much they hold
end
return answer(removed, 1)
