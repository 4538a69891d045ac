-- Notes in its home how many members a group has after a change, which gives back its places. KEYS: tag. ARGV: app,
-- name, number, token of the change, members. Returns 0 when there is no such group any more.
local tag, token = KEYS[1], 'r' .. ARGV[4]
local key = tag .. 'gp:' .. ARGV[1] .. ':' .. ARGV[2]
local group = redis.call('HMGET', key, 'i', 'x')
if group[1] ~= ARGV[3] or group[2] or redis.call('SISMEMBER', tag .. 'gone', ARGV[1]) == 1 then return 0 end
if redis.call('HDEL', key, token) == 1 then redis.call('HINCRBY', key, 'v', 1) end
redis.call('HSET', key, 'm', ARGV[5])
return 1
