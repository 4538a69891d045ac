-- Entries of the audit log, the latest first. KEYS: tag. ARGV: index, last id and first id (as ZREVRANGEBYLEX takes
-- them), how many at most.
local ids = redis.call('ZREVRANGEBYLEX', KEYS[1] .. ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local found = {}
for i, id in ipairs(ids) do found[i] = redis.call('HGET', KEYS[1] .. 'entries', id) end
return found
