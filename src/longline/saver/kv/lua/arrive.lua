-- Devices that connect; who is new is registered.
-- KEYS: tag. ARGV: for each device: app, name, now.
-- Returns for each {place, 1 when something may wait, log cursor, banned until}; false when its app is deleted.
-- include: devices.lua

local tag = KEYS[1]
local gone, newest = {}, {}
local found = {}
for i = 1, #ARGV, 3 do
  local app, name, now = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if gone[app] == nil then
    gone[app] = redis.call('SISMEMBER', tag .. 'gone', app) == 1
    newest[app] = tonumber(redis.call('ZREVRANGE', tag .. 'b:' .. app, 0, 0, 'WITHSCORES')[2] or 0)
  end
  if gone[app] then
    found[#found + 1] = false
  else
    local place = redis.call('HGET', tag .. 'n:' .. app, name) or add_device(tag, app, name, now)
    local row = redis.call('HMGET', device_key(tag, app, place), 'l', 'b')
    local waits = newest[app] > tonumber(row[1] or 0)
      or redis.call('EXISTS', tag .. 'i:' .. app .. ':' .. place) == 1
    found[#found + 1] = { tonumber(place), waits and 1 or 0, row[1] or '0', row[2] or '0' }
  end
end
return found
