-- KEYS: tag. ARGV: app, name, until (ms; 0: not banned). Returns 0 when there is no such device.
-- include: devices.lua

local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local place = redis.call('HGET', tag .. 'n:' .. app, ARGV[2])
if not place then return 0 end
local key = device_key(tag, app, place)
if ARGV[3] == '0' then redis.call('HDEL', key, 'b') else redis.call('HSET', key, 'b', ARGV[3]) end
return 1
