-- How many members of a group are here. KEYS: tag. ARGV: app, group.
-- include: groups.lua
local key = label_key(KEYS[1], ARGV[1], GROUP, ARGV[2])
local kind = redis.call('TYPE', key).ok
if kind == 'none' then return 0 end
return redis.call(kind == 'string' and 'BITCOUNT' or 'SCARD', key)
