-- These messages are in all queues. KEYS: tag. ARGV: their names. Returns for each 1.
local answer = {}
for n, name in ipairs(ARGV) do
  redis.call('HDEL', KEYS[1] .. 'mj', name)
  redis.call('ZREM', KEYS[1] .. 'mk', name)
  answer[n] = 1
end
return answer
