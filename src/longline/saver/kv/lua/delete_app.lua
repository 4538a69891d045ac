-- Takes an app out of the directory and notes that its devices are to be purged.
-- KEYS: directory, names, numbers, purges, retentions. ARGV: number.
local name = redis.call('HGET', KEYS[3], ARGV[1])
if not name then return 0 end
redis.call('HSETNX', KEYS[4], ARGV[1], -1)
redis.call('ZREM', KEYS[2], name)
redis.call('HDEL', KEYS[1], name)
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
return 1
