-- Who is in a set of labels and should not be. Only reads. KEYS: tag, the set. ARGV: app, place from which to look, how
-- many places. Returns {place from which to go on or -1, {places that should not be in it}, how many it looked at}.
-- include: devices.lua
-- include: groups.lua

local tag, key, app, first, most = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { -1, {}, 0 } end
local kind, label = string.match(string.sub(key, #tag + 1), '^t:%d+:(%d+):(.*)$')
kind = tonumber(kind)

local function belongs(place, digits)
  if kind == GROUP then
    for _, group in ipairs(groups_of(tag, app, place)) do
      if group == label then return true end
    end
    return false
  end
  local labels, index = unpack(redis.call('HMGET', device_key(tag, app, place), 't', 'i'))
  local keys, numbers = found_by(tag, app, labels, index)
  if kind == NUMBER then return numbers[label] ~= nil and (not digits or numbers[label] == digits) end
  if kind >= BIT then return numbers[label] ~= nil and bits_of(numbers[label])[64 - (kind - BIT)] == 1 end
  return keys[key] == true
end

local wrong, looked = {}, 0
local stored = redis.call('TYPE', key).ok
if stored == 'hash' then
  local numbers = redis.call('HGETALL', key)
  for n = 1, #numbers, 2 do
    looked = looked + 1
    if not belongs(numbers[n], numbers[n + 1]) then wrong[#wrong + 1] = tonumber(numbers[n]) end
  end
  return { -1, wrong, looked }
end
if stored == 'set' then
  for _, place in ipairs(redis.call('SMEMBERS', key)) do
    looked = looked + 1
    if not belongs(place) then wrong[#wrong + 1] = tonumber(place) end
  end
  return { -1, wrong, looked }
end
if stored == 'none' then return { -1, {}, 0 } end
local place, last = redis.call('BITPOS', key, 1, math.floor(first / 8)), first + most
while place >= 0 and place < last do
  for at = place, place - place % 8 + 7 do
    if at >= first and redis.call('GETBIT', key, at) == 1 then
      looked = looked + 1
      if not belongs(at) then wrong[#wrong + 1] = at end
    end
  end
  place = redis.call('BITPOS', key, 1, math.floor(place / 8) + 1)
end
return { place, wrong, looked }
