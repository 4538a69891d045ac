-- Forgets what devices have not acknowledged. KEYS: tag. ARGV: for each: app, place. Returns an answer for each.
-- include: devices.lua

local tag = KEYS[1]
local answers = {}
for i = 1, #ARGV, 2 do answers[#answers + 1] = redis.call('HDEL', device_key(tag, ARGV[i], ARGV[i + 1]), 'ks') end
return answers
