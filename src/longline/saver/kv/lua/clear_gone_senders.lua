-- Removes what devices that are gone have published from what is retained: some of one app, which is gone through
-- once for all of them. KEYS: tag. ARGV: how many messages are looked at, token of this call. Returns how many were.
-- A name that is noted while that is under way waits for the next time.
-- include: retained.lua
-- include: once.lua

local HEAD, AT, NAMED = 39, 9, 34 -- bytes of a message's head; where that has its time, and the length of its sender
local MARKED = ' under way'
local tag, most = KEYS[1], tonumber(ARGV[1])
local before = answered(tag, 'clear_gone_senders', ARGV[2])
if before then return tonumber(before) end
local app = redis.call('ZRANGE', tag .. 'rq', 0, 0)[1]
if not app then return 0 end
local noted = tag .. 'rg:' .. app
redis.call(
  'EXISTS', noted, tag .. 'rq', tag .. 'rb:' .. app, tag .. 'rt:' .. app, tag .. 're:' .. app, tag .. 'rn', tag .. 'rm',
  tag .. 'rd'
) -- see `touch` in kept.lua

-- As it begins, the names that there are get a mark: it is for these. One that is noted meanwhile has none.
local names = redis.call('HGETALL', noted)
local cursor = redis.call('HGET', noted, '')
local gone = {}
for n = 1, #names, 2 do
  if names[n] ~= '' then
    gone[names[n]] = tonumber(string.match(names[n + 1], '^%d+'))
    if not cursor then redis.call('HSET', noted, names[n], string.match(names[n + 1], '^%d+') .. MARKED) end
  end
end

local page = redis.call('HSCAN', tag .. 'rb:' .. app, cursor or '0', 'COUNT', most)
local looked = 0
for n = 1, #page[2], 2 do
  local topic, stored = page[2][n], page[2][n + 1]
  local at, named = struct.unpack('>I8', stored, AT), struct.unpack('>I2', stored, NAMED)
  local up_to = gone[string.sub(stored, HEAD + 1, HEAD + named)]
  if up_to and at <= up_to then forget(tag, app, topic, size_at(tag, app, topic)) end
  looked = looked + 1
end
note_due(tag, app)
if page[1] == '0' then
  redis.call('HDEL', noted, '')
  for name in pairs(gone) do
    if string.sub(redis.call('HGET', noted, name), -#MARKED) == MARKED then redis.call('HDEL', noted, name) end
  end
  if redis.call('EXISTS', noted) == 0 then redis.call('ZREM', tag .. 'rq', app) end
else
  redis.call('HSET', noted, '', page[1])
end
looked = math.max(1, looked)
remember(tag, 'clear_gone_senders', ARGV[2], looked)
return looked
