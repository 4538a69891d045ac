-- Replaces the profile of a device, unless somebody else did so before.
-- KEYS: tag. ARGV: app, name, place, labels and rest of the profile as they were found, and as they are to be, and
-- what of that is indexed ("" for none). Returns 1 when they are as they are to be, 0 when they were something else, or the device is gone.
-- include: devices.lua

local tag, app, place = KEYS[1], ARGV[1], ARGV[3]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
if redis.call('HGET', tag .. 'n:' .. app, ARGV[2]) ~= place then return 0 end
local key = device_key(tag, app, place)
local row = redis.call('HMGET', key, 't', 'p')
local labels, rest = row[1] or '', row[2] or ''
if labels == ARGV[6] and rest == ARGV[7] then return 1 end -- this call is carried out again
if labels ~= ARGV[4] or rest ~= ARGV[5] then return 0 end
replace_profile(tag, app, place, ARGV[6], ARGV[7], ARGV[8])
return 1
