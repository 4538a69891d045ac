-- KEYS: tag. ARGV: app, names.
-- Returns for each name {place, created at, labels, rest of the profile}; false for nobody.
-- include: devices.lua

local tag, app = KEYS[1], ARGV[1]
local gone = redis.call('SISMEMBER', tag .. 'gone', app) == 1
local found = {}
for i = 2, #ARGV do
  local place = not gone and redis.call('HGET', tag .. 'n:' .. app, ARGV[i])
  if place then
    local row = redis.call('HMGET', device_key(tag, app, place), 'c', 't', 'p')
    found[#found + 1] = { place, row[1], row[2], row[3] }
  else
    found[#found + 1] = false
  end
end
return found
