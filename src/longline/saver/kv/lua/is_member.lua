-- Which devices are members of groups. KEYS: tag. ARGV: for each: app, name, group. Returns 1 or 0 for each.
-- include: groups.lua
local tag, found = KEYS[1], {}
for i = 1, #ARGV, 3 do
  local app = ARGV[i]
  local place = redis.call('HGET', tag .. 'n:' .. app, ARGV[i + 1])
  local is_member = 0
  for _, group in ipairs(place and groups_of(tag, app, place) or {}) do
    if group == ARGV[i + 2] then is_member = 1 end
  end
  found[#found + 1] = is_member
end
return found
