-- Registers devices of an app, or replaces their profiles.
-- KEYS: tag. ARGV: app, now, and for each device: name, labels, rest of the profile, and
-- what of that is indexed ("" for none).
-- Returns for each device {place, created at}; false when the app is deleted.
-- include: devices.lua

local tag, app, now = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local found = {}
for i = 3, #ARGV, 4 do
  local name = ARGV[i]
  local there = redis.call('HGET', tag .. 'n:' .. app, name)
  local place = tonumber(there or add_device(tag, app, name, now))
  local created = replace_profile(tag, app, place, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], not there)
  found[#found + 1] = { place, there and created or now }
end
return found
