-- Messages that were received and are not in all queues, as far as anybody has said. KEYS: tag. ARGV: received before
-- (ms), limit. Returns {name, plan, …}.
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1] .. 'mk', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local plan = redis.call('HGET', KEYS[1] .. 'mj', name)
  if plan then
    found[#found + 1] = name
    found[#found + 1] = plan
  else
    redis.call('ZREM', KEYS[1] .. 'mk', name)
  end
end
return found
