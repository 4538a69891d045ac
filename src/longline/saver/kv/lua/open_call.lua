-- KEYS: tag. ARGV: app, id, ordinal of the device, how long somebody waits (ms).
local key = KEYS[1] .. 'cl:' .. ARGV[1] .. ':' .. ARGV[2]
redis.call('HSET', key, 'o', ARGV[3])
return redis.call('PEXPIRE', key, ARGV[4])
