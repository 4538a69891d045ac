-- Removes devices of a deleted app, the last first; each device, and each label of one, counts.
-- KEYS: tag. ARGV: app, limit, token of this call. Returns {how many, 1 when nothing is left}.
-- include: devices.lua
-- include: groups.lua
-- include: kept.lua
-- include: wills.lua
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
  local labels, index = unpack(redis.call('HMGET', key, 't', 'i'))
  local cost = 1 + count_labels(labels, index)
  if removed > 0 and removed + cost > limit then
    redis.call('SET', counter, place)
    return answer(removed, 0)
  end
  relabel(tag, app, place - 1, labels, index, '', '')
  leave_groups(tag, app, place - 1)
  local session = find_session(tag, app, place - 1)
  if session then end_session(session) end
  forget_wills(tag, app .. ':' .. place - 1)
  redis.call('DEL', key, tag .. 'sd:' .. app .. ':' .. place - 1, tag .. 'hc:' .. app .. ':' .. place - 1)
  place = place - 1
  removed = removed + math.min(cost, limit)
end
-- What is here of groups: those that have their home here, and the open messages of any.
local left = limit - removed
for _, name in ipairs(redis.call('ZRANGE', tag .. 'gn:' .. app, 0, left - 1)) do
  local key = tag .. 'gp:' .. app .. ':' .. name
  local number = redis.call('HGET', key, 'i')
  if number then redis.call('UNLINK', tag .. 'gh:' .. app .. ':' .. number, tag .. 'gi:' .. app .. ':' .. number) end
  redis.call('DEL', key)
  redis.call('ZREM', tag .. 'gn:' .. app, name)
  removed, left = removed + 1, left - 1
end
local numbers = left > 0 and redis.call('HSCAN', tag .. 'gq:' .. app, 0, 'COUNT', left)[2] or {}
for i = 1, #numbers, 2 do
  redis.call('UNLINK', tag .. 'gl:' .. app .. ':' .. numbers[i])
  redis.call('HDEL', tag .. 'gq:' .. app, numbers[i])
  removed = removed + 1
end
if redis.call('EXISTS', tag .. 'gn:' .. app, tag .. 'gq:' .. app) > 0 then return answer(removed, 0) end
redis.call('UNLINK', tag .. 'n:' .. app, tag .. 'x:' .. app, counter)
redis.call('HDEL', tag .. 'given', app)
local retained = redis.call('ZCARD', tag .. 'rt:' .. app)
if retained > 0 and redis.call('DECRBY', tag .. 'rm', retained) == 0 then redis.call('DEL', tag .. 'rm') end
redis.call('HDEL', tag .. 'rn', app)
redis.call('ZREM', tag .. 'rd', app)
redis.call('ZREM', tag .. 'rq', app)
redis.call('SREM', tag .. 'ra', app)
redis.call('SREM', tag .. 'uy', app)
redis.call('SREM', tag .. 'an', app)
for _, member in ipairs(redis.call('ZRANGE', tag .. 'ao', 0, -1)) do
  local span, of, period = string.match(member, '^(.):(%d+):(%d+)$')
  if of == app then
    redis.call('UNLINK', tag .. 'a' .. span .. ':' .. app .. ':' .. period)
    redis.call('ZREM', tag .. 'ao', member)
  end
end
redis.call('HDEL', tag .. 'aq', app)
for _, key in ipairs(redis.call('ZRANGE', tag .. 'sk:' .. app, 0, -1)) do redis.call('UNLINK', key) end
redis.call('UNLINK', tag .. 'sk:' .. app)
local timers = redis.call('ZCARD', tag .. 'schd:' .. app)
if timers > 0 and redis.call('DECRBY', tag .. 'schw', timers) == 0 then redis.call('DEL', tag .. 'schw') end
redis.call('ZREM', tag .. 'schs', app)
redis.call('ZREM', tag .. 'whs', app)
local kinds =
  { 'ns:', 'il:', 'be:', 'bh:', 'u:', 'us:', 'ua:', 'ul:', 'ux:', 'uf:', 'rt:', 'rb:', 're:', 'rg:', 'ma:', 'mx:', 'mh:', 'sch:', 'schd:',
    'schn:', 'sp:', 'wh:', 'whe:', 'whd:', 'whr:', 'whn:', 'uz:', 'ac:', 'ab:', 'sq:' }
for _, kind in ipairs(kinds) do
  redis.call('UNLINK', tag .. kind .. app) -- which frees them beside the server's work, however much they hold
end
for kind = 0, 1 do
  redis.call('UNLINK', tag .. 'schl:' .. app .. ':' .. kind)
end
return answer(removed, 1)
