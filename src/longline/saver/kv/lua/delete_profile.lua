-- Removes a profile. KEYS: tag. ARGV: id, token of this call. Returns 1 when there was one.
-- include: once.lua
local tag, id = KEYS[1], ARGV[1]
local before = answered(tag, 'delete', ARGV[2])
if before then return tonumber(before) end
redis.call('HDEL', tag .. 'heads', id)
redis.call('HDEL', tag .. 'sizes', id)
redis.call('DEL', tag .. 'c:' .. id)
local removed = redis.call('ZREM', tag .. 'all', id)
remember(tag, 'delete', ARGV[2], removed)
return removed
