-- Devices are there. KEYS: tag. ARGV: app, now, places.
-- include: counting.lua
local tag, app, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
for i = 3, #ARGV do note_there(tag, app, ARGV[i], now) end
return 1
