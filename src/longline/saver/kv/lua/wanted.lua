-- Whether apps may have filters. KEYS: tag of the apps' home. ARGV: apps. Returns for each 1 or 0.
-- include: kept.lua

local tag, answer = KEYS[1], {}
for n, app in ipairs(ARGV) do
  answer[n] = not is_gone(tag, app) and redis.call('EXISTS', tag .. 'mh:' .. app) or 0
end
return answer
