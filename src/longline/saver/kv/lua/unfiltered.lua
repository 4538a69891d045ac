-- Filters that no session here has had for a while. KEYS: tag. ARGV: for how long (ms), limit.
-- Returns {this server's clock (ms), app, filter, …}; they are not told again.
-- include: kept.lua
-- include: directory.lua

local tag, now = KEYS[1], server_time()
local answer = { now }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'mv', '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local app, filter = string.match(member, '^(%d+):(.*)$')
  if not is_had(tag, app, filter) then
    answer[#answer + 1] = app
    answer[#answer + 1] = filter
  end
  redis.call('ZREM', tag .. 'mv', member)
end
return answer
