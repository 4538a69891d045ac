-- What devices have not acknowledged. KEYS: tag. ARGV: app, places. Returns for each what its hash says, or false.
-- include: devices.lua

local found = {}
for i = 2, #ARGV do found[#found + 1] = redis.call('HGET', device_key(KEYS[1], ARGV[1], ARGV[i]), 'ks') end
return found
