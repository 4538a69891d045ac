-- Registers devices of an app, or replaces their profiles.
-- KEYS: tag. ARGV: app, now, and for each device: name, labels, rest of the profile ("" for none).
-- Returns for each device {place, created at}; false when the app is deleted.
-- include: devices.lua

local tag, app, now = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local found = {}
for i = 3, #ARGV, 3 do
  local name, labels, rest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local place = tonumber(redis.call('HGET', tag .. 'n:' .. app, name) or add_device(tag, app, name, now))
  local row = redis.call('HMGET', device_key(tag, app, place), 'c', 't')
  replace_profile(tag, app, place, row[2] or '', labels, rest)
  found[#found + 1] = { place, row[1] }
end
return found
