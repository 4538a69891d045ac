-- Devices by place, from a place on: at most `limit`, and at most `steps` places or sets are looked at.
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

local first = math.floor(from / CHUNK)
for chunk = first, math.floor((stop - 1) / CHUNK) do
  if chunk - first == steps then return { chunk * CHUNK, found } end
  local keys = {}
  for i = 5, #ARGV, 2 do keys[#keys + 1] = label_key(tag, app, ARGV[i], chunk, ARGV[i + 1]) end
  local members = redis.call('SINTER', unpack(keys))
  for i, member in ipairs(members) do members[i] = tonumber(member) end
  table.sort(members)
  for _, member in ipairs(members) do
    local place = chunk * CHUNK + member
    if place >= from and not take(place) then return { place, found } end
  end
end
return { -1, found }
