-- A group, in its home. KEYS: tag. ARGV: app, name. Returns {number, created at, latest sequence, members}; false when
-- there is none, it is being deleted, or its app is.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local group = redis.call('HMGET', tag .. 'gp:' .. app .. ':' .. ARGV[2], 'i', 'c', 's', 'm', 'x')
if not group[1] or group[5] then return false end
return { group[1], group[2], group[3], group[4] }
