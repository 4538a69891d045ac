-- KEYS: tag. ARGV: app, places.
-- Returns for each {came, left, expiry of its session (s), when that is over (ms), banned until (ms)}, each false where there is none.
local tag, app, found = KEYS[1], ARGV[1], {}
for i = 2, #ARGV do
  local visit = redis.call('HMGET', tag .. 'd:' .. app .. ':' .. ARGV[i], 'v', 'e', 'b')
  local session = redis.call('HMGET', tag .. 'ms:' .. app .. ':' .. ARGV[i], 'x', 'd')
  found[#found + 1] = { visit[1], visit[2], session[1], session[2], visit[3] }
end
return found
