-- Forgets entries of the audit log that are too old. KEYS: tag. ARGV: the first id that is not (as ZRANGEBYLEX takes it),
-- how many at most, token of this call. Returns how many went.
-- include: once.lua
-- include: trail.lua
local before = answered(KEYS[1], 'sweep', ARGV[3])
if before then return tonumber(before) end
local ids = redis.call('ZRANGEBYLEX', KEYS[1] .. 'all', '-', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do forget(KEYS[1], id) end
remember(KEYS[1], 'sweep', ARGV[3], #ids)
return #ids
