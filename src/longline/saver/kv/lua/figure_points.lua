-- Points of one life. KEYS: tag. ARGV: life, kind of points, first and last moment (as ZRANGEBYSCORE takes them), of how
-- many the first is wanted. Returns what its points are, then each with its moment.
local answer = redis.call('ZRANGEBYSCORE', KEYS[1] .. ARGV[2] .. ':' .. ARGV[1], ARGV[3], ARGV[4], 'WITHSCORES')
if #answer == 0 then return answer end
local thin = tonumber(ARGV[5])
if thin > 1 then
  local all = answer
  answer = {}
  for i = 1, #all, 2 do
    if ((i - 1) / 2) % thin == 0 or i == #all - 1 then
      answer[#answer + 1] = all[i]
      answer[#answer + 1] = all[i + 1]
    end
  end
end
table.insert(answer, 1, redis.call('HGET', KEYS[1] .. 'about', ARGV[1]) or '')
return answer
