-- Retained messages by their topics. KEYS: tag. ARGV: app, topic, app, topic, …
-- Returns for each what is stored, or false.
-- include: retained.lua
local tag, gone, found = KEYS[1], {}, {}
for i = 1, #ARGV, 2 do
  local app = ARGV[i]
  if gone[app] == nil then gone[app] = is_gone(tag, app) end
  found[#found + 1] = not gone[app] and redis.call('HGET', tag .. 'rb:' .. app, ARGV[i + 1])
end
return found
