-- Devices by place, from a place on: at most `limit`, and at most `steps` places are looked at, or as many times 64 of
-- the sets of labels; with a label that few have, no other places than theirs.
-- KEYS: tag. ARGV: app, from, limit, steps, and for each label that they must have: kind, label.
-- Returns {place that was not looked at any more (-1: none), {{place, name, created at, labels, rest}, …}}.
-- include: devices.lua

local tag, app, from = KEYS[1], ARGV[1], tonumber(ARGV[2])
local limit, steps = tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { -1, {} } end
local stop = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
local found = {}

-- False when the page has no room for it.
local function take(place)
  local row = redis.call('HMGET', device_key(tag, app, place), 'n', 'c', 't', 'p')
  if row[2] then -- else it was deleted
    if #found == limit then return false end
    found[#found + 1] = { place, row[1], row[2], row[3], row[4] }
  end
  return true
end

if #ARGV == 4 then
  for place = from, stop - 1 do
    if place - from == steps or not take(place) then return { place, found } end
  end
  return { -1, found }
end

local keys, few = {}, nil -- few: who has one of the labels, when it is a SET
for i = 5, #ARGV, 2 do
  keys[#keys + 1] = label_key(tag, app, ARGV[i], ARGV[i + 1])
  few = few or members_of(keys[#keys])
end

local function has_all(place)
  for _, key in ipairs(keys) do
    local command = redis.call('TYPE', key).ok == 'string' and 'GETBIT' or 'SISMEMBER'
    if redis.call(command, key, place) == 0 then return false end
  end
  return true
end

if few then
  table.sort(few)
  for _, place in ipairs(few) do
    if place >= from and has_all(place) and not take(place) then return { place, found } end
  end
  return { -1, found }
end

-- The bitmaps of the labels from the place on, as texts, as far as one call goes.
local first = math.floor(from / 8)
local last = math.min(math.floor((stop - 1) / 8), first + 8 * steps - 1)
local bitmaps = {}
for _, key in ipairs(keys) do bitmaps[#bitmaps + 1] = redis.call('GETRANGE', key, first, last) end
for n = 1, last - first + 1 do
  local byte = 255
  for _, bitmap in ipairs(bitmaps) do byte = bit.band(byte, string.byte(bitmap, n) or 0) end
  for low = 0, byte > 0 and 7 or -1 do
    local place = 8 * (first + n - 1) + low
    if place >= from and bit.band(byte, bit.rshift(128, low)) ~= 0 and not take(place) then return { place, found } end
  end
end
if 8 * (last + 1) < stop then return { 8 * (last + 1), found } end
return { -1, found }
