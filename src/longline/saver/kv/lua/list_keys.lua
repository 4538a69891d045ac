-- Named keys of an app, in the order in which they were made; none of one that is deleted. KEYS: numbers, keys, ids of
-- keys of the app. ARGV: number, first id (as ZRANGEBYLEX takes it), how many at most.
if ARGV[1] ~= '0' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {} end
local ids = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local found = {}
for i, id in ipairs(ids) do found[i] = redis.call('HGET', KEYS[2], id) end
return found
