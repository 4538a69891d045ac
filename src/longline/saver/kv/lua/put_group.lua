-- Makes a group, in its home. KEYS: tag. ARGV: app, name, number for it, now. Returns its number, and 1 when it is being
-- deleted; false when the app is deleted.
local tag, app, name = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local key = tag .. 'gp:' .. app .. ':' .. name
redis.call('ZADD', tag .. 'gn:' .. app, 0, name)
local there = redis.call('HMGET', key, 'i', 'x')
if there[1] then return { there[1], there[2] and 1 or 0 } end
redis.call('HSET', key, 'i', ARGV[3], 'c', ARGV[4], 's', 0, 'u', 0, 'm', 0)
return { ARGV[3], 0 }
