-- Devices of one partition. Only reads. KEYS: tag. ARGV: app, where to go on in its names ("0" to begin with), how many.
-- Returns {where to go on, {next place, how many names, how many places are nobody's, last position, how many
-- sorted names}, for each device:
-- {name, place, name in its hash, created at, cursor, told of ends up to, 1 when its place is nobody's, labels, rest of
-- the profile, index, {sets that it should be in and is not}, shadow: {version, wanted, seen} or false, 1 when it is to
-- be told, {messages missed: dropped, expired, collapsed, since}, 1 when its name is among the sorted ones}}.
-- include: devices.lua
-- include: groups.lua

local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '0', {} } end

local function not_in(place, labels, index)
  local keys, numbers = found_by(tag, app, labels, index)
  local missing = {}
  for _, group in ipairs(groups_of(tag, app, place)) do keys[label_key(tag, app, GROUP, group)] = true end
  for key in pairs(keys) do
    local is_in
    if redis.call('TYPE', key).ok == 'string' then
      is_in = redis.call('GETBIT', key, place)
    else
      is_in = redis.call('SISMEMBER', key, place)
    end
    if is_in == 0 then missing[#missing + 1] = key end
  end
  for _, group in ipairs(groups_of(tag, app, place)) do
    local key = label_key(tag, app, GROUP, group)
    local command = redis.call('TYPE', key).ok == 'string' and 'GETBIT' or 'SISMEMBER'
    if redis.call(command, key, place) == 0 then missing[#missing + 1] = key end
  end
  for name, digits in pairs(numbers) do
    local all = number_keys(tag, app, name)
    if redis.call('TYPE', all[1]).ok ~= 'string' then
      if redis.call('HGET', all[1], place) ~= digits then missing[#missing + 1] = all[1] end
    else
      local bits = bits_of(digits)
      local right = redis.call('GETBIT', all[1], place) == 1
      for n, is_set in ipairs(bits) do right = right and redis.call('GETBIT', all[n + 1], place) == is_set end
      if not right then missing[#missing + 1] = all[1] end
    end
  end
  return missing
end

local page = redis.call('HSCAN', tag .. 'n:' .. app, ARGV[2], 'COUNT', ARGV[3])
local found = {
  page[1],
  {
    tonumber(redis.call('GET', tag .. 'next:' .. app) or 0), redis.call('HLEN', tag .. 'n:' .. app),
    redis.call('BITCOUNT', tag .. 'x:' .. app), redis.call('GET', tag .. 'pos') or '0',
    redis.call('ZCARD', tag .. 'ns:' .. app),
  },
}
for n = 1, #page[2], 2 do
  local name, place = page[2][n], page[2][n + 1]
  local key, shadow = device_key(tag, app, place), tag .. 'sd:' .. app .. ':' .. place
  local row = redis.call('HMGET', key, 'n', 'c', 'l', 'gt', 't', 'p', 'i', 'gd', 'ge', 'gc', 'gs')
  found[#found + 1] = {
    name, place, row[1], row[2], row[3], row[4], redis.call('GETBIT', tag .. 'x:' .. app, place),
    row[5], row[6], row[7], not_in(place, row[5], row[7]),
    redis.call('EXISTS', shadow) == 1 and redis.call('HMGET', shadow, 'v', 'w', 's'),
    redis.call('SISMEMBER', tag .. 'sp:' .. app, place), { row[8], row[9], row[10], row[11] },
    redis.call('ZSCORE', tag .. 'ns:' .. app, name) and 1 or 0,
  }
end
return found
