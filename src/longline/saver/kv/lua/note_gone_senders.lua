-- Devices are gone, and what they have published goes from what is retained. KEYS: tag. ARGV, for each: app, name, up to
-- when (ms) it has published what goes. Returns for each 1, or 0 where the app has nothing retained here.

local tag, answer = KEYS[1], {}
for i = 1, #ARGV, 3 do
  local app = ARGV[i]
  local any = redis.call('EXISTS', tag .. 'rt:' .. app) == 1
  if any then
    redis.call('EXISTS', tag .. 'rg:' .. app, tag .. 'rq') -- see `touch` in kept.lua
    redis.call('HSET', tag .. 'rg:' .. app, ARGV[i + 1], ARGV[i + 2])
    redis.call('ZADD', tag .. 'rq', 'NX', 0, app)
  end
  answer[#answer + 1] = any and 1 or 0
end
return answer
