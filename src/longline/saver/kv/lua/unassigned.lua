-- Broadcasts whose sub-tasks were not assigned. KEYS: beginning of the keys. ARGV: stored before (ms),
-- limit, when they are shown again (ms), token of this call. Returns their `<app>:<id>`.
-- include: shown.lua

local tag, again = KEYS[1], ARGV[3]
local found = to_show(tag, 'br', ARGV[1], ARGV[2], again, ARGV[4])
for _, member in ipairs(found) do redis.call('ZADD', tag .. 'br', again, member) end
return found
