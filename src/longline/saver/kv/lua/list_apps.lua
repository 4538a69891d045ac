-- KEYS: directory, names. ARGV: first name (as ZRANGEBYLEX takes it), how many at most.
local names = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local apps = {}
for i, name in ipairs(names) do apps[i] = redis.call('HGET', KEYS[1], name) end
return apps
