-- Submissions that were begun and not finished, as they were given. KEYS: beginning of the keys.
-- ARGV: begun before (ms), limit.
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1] .. 'jd', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local submission = redis.call('HGET', KEYS[1] .. 'j:' .. member, 's')
  if submission then found[#found + 1] = submission else redis.call('ZREM', KEYS[1] .. 'jd', member) end
end
return found
