-- Heads of profiles, the latest first. KEYS: tag. ARGV: last id and first id (as ZREVRANGEBYLEX takes them), how many at
-- most.
local found = {}
for i, id in ipairs(redis.call('ZREVRANGEBYLEX', KEYS[1] .. 'all', ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  found[i] = redis.call('HGET', KEYS[1] .. 'heads', id)
end
return found
