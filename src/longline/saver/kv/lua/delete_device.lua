-- KEYS: tag. ARGV: app, name, now, how long its name is kept (ms), token of this call.
-- Returns the number of the event of that; "0" when there is no such device. A call that is carried out again
-- finds its token.
-- include: remove_device.lua

local tag, app, name = KEYS[1], ARGV[1], ARGV[2]
if is_gone(tag, app) then return '0' end
local place = tonumber(redis.call('HGET', tag .. 'n:' .. app, name) or -1)
local once = tag .. 'once:' .. ARGV[5]
if place < 0 then return redis.call('GET', once) or '0' end
local number = remove_device(tag, app, name, place, ARGV[3], 'd', 'device_deleted', ARGV[4])
redis.call('SET', once, number, 'EX', 600)
return number
