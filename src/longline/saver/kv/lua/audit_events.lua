-- A lane of the queue of events of an app. Only reads. KEYS: tag. ARGV: app, number behind which to go on ("-1" to begin with),
-- how many, bytes up to which it is added up.
-- Returns {number behind which to go on or "", {last number, bytes, removed} or false, {bytes, length} as added up or
-- false, for each event: {number, 1 when it tells of a state, device, standing of that, its latest ones, 1 when it is
-- past}}; with the first ones also {"standing" or "latest", device, what is noted, 1 when the event is there, …}.
-- include: hidden.lua
local tag, app, after, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '', false, false } end
local queue, standings, latest = tag .. 'u:' .. app, tag .. 'ul:' .. app, tag .. 'uf:' .. app
local about = redis.call('HMGET', tag .. 'ua:' .. app, 'last', 'bytes', 'removed')
local found = { '', about[1] and about or false, false }

local function device_of(member)
  return string.sub(member, 4, 3 + struct.unpack('>I2', member, 2))
end

if after == '-1' and tonumber(about[2] or 0) <= tonumber(ARGV[4]) then
  local size, length, first = 0, redis.call('ZCARD', queue), 0
  while first < length do
    for _, member in ipairs(redis.call('ZRANGE', queue, first, first + 999)) do size = size + #member end
    first = first + 1000
  end
  found[3] = { string.format('%.0f', size), length }
end

local page = redis.call('ZRANGEBYSCORE', queue, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
for n = 1, #page, 2 do
  local member, number = page[n], page[n + 1]
  local device = device_of(member)
  if not is_hidden(tag, app, member, number) then
    found[#found + 1] = {
      number, string.sub(member, 1, 1) == '1' and 1 or 0, device, redis.call('HGET', standings, device),
      redis.call('HGET', latest, device) or '', redis.call('ZSCORE', tag .. 'ux:' .. app, number) and 1 or 0,
    }
  end
end
if #page == 2 * most then found[1] = page[#page] end
return found
