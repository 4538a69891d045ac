-- Takes off what apps have of a rate. KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), then for
-- each: app, of what, rate a second, amount.
-- Returns for each what it has then, as text: less than 0 is owed. A key that is not there is a full bucket.
-- include: repeated.lua

local before = earlier(KEYS[1], ARGV[1])
if before then return before end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for i = 3, #ARGV, 4 do
  local key = KEYS[1] .. 'qt:' .. ARGV[i] .. ':' .. ARGV[i + 1]
  local rate, amount = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local level, at = unpack(redis.call('HMGET', key, 'l', 't'))
  if level then
    level = math.min(rate, level + math.max(0, now - at) * rate / 1000000)
  else
    level = rate
  end
  level = level - amount
  if level < rate then
    redis.call('HSET', key, 'l', string.format('%.3f', level), 't', string.format('%.0f', now))
    redis.call('PEXPIRE', key, math.ceil((rate - level) / rate * 1000))
  end
  answer[#answer + 1] = string.format('%.3f', level)
end
return keep_answer(KEYS[1], ARGV[1], ARGV[2], answer)
