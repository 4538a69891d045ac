-- KEYS: tag. ARGV: app, places. Returns for each {version, wanted, seen, desired, reported}, each false where nothing
-- was said; false for a device that is not registered.
-- include: shadows.lua

local tag, app = KEYS[1], ARGV[1]
local found = {}
for i = 2, #ARGV do
  if is_registered(tag, app, ARGV[i]) then
    found[#found + 1] = redis.call('HMGET', shadow_key(tag, app, ARGV[i]), 'v', 'w', 's', 'd', 'r')
  else
    found[#found + 1] = false
  end
end
return found
