-- Says to whom messages of groups go that sessions which are over have left. KEYS: tag. ARGV, for each:
-- <app>:<place>:<number>, place in the queue, group, who it is to be handed to; "" for nobody any more.
-- Returns for each who it is handed to: whoever was named first; "" for nobody, or where it is gone.

local answer = {}
for i = 1, #ARGV, 4 do
  local key, place, group, to = KEYS[1] .. 'mS:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local before = redis.call('HGET', key, place)
  local claimed = before and string.match(before, '%z(.+)$')
  if before and to == '' then
    redis.call('HSET', key, place, group)
    claimed = ''
  elseif before and not claimed then
    redis.call('HSET', key, place, group .. '\0' .. to)
    claimed = to
  end
  answer[#answer + 1] = claimed or ''
end
return answer
