-- KEYS: tag. ARGV: app, name, now, how long its name is kept (ms), token of this call.
-- Returns 0 when there is no such device. A call that is carried out again finds its token.
-- include: devices.lua
-- include: drop_pending.lua

local tag, app, name = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local place = tonumber(redis.call('HGET', tag .. 'n:' .. app, name) or -1)
if place < 0 then return redis.call('EXISTS', tag .. 'once:' .. ARGV[5]) end
local key = device_key(tag, app, place)
drop_pending(tag, app, place, 'device_deleted', ARGV[3])
label('SREM', tag, app, place, redis.call('HGET', key, 't'))
redis.call('HDEL', key, 'c', 'l', 'b', 't', 'p')
redis.call('PEXPIRE', key, ARGV[4])
redis.call('SETBIT', tag .. 'x:' .. app, place, 1)
redis.call('SET', tag .. 'once:' .. ARGV[5], 1, 'EX', 600)
redis.call('HDEL', tag .. 'n:' .. app, name)
return 1
