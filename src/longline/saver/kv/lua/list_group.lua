-- The members of a group that are here. KEYS: tag. ARGV: app, group. Returns {place, name, …}.
-- include: groups.lua
local tag, app = KEYS[1], ARGV[1]
local found = {}
for _, place in ipairs(members_in(tag, app, ARGV[2])) do
  local name = redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'n')
  if name then
    found[#found + 1] = place
    found[#found + 1] = name
  end
end
return found
