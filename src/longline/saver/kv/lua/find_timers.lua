-- Timers of an app by id. KEYS: tag. ARGV: app, id…. Returns a timer each, or false.
-- include: timers.lua

local tag, app, found = KEYS[1], ARGV[1], {}
local gone = is_gone(tag, app)
for i = 2, #ARGV do
  found[#found + 1] = not gone and redis.call('HGET', tag .. 'sch:' .. app, ARGV[i])
end
return found
