-- Sessions that may be chosen for groups (section 4.8.2). KEYS: tag. ARGV: now, then for each: app, the group's filter as
-- it is subscribed to, how many of those that have it are looked at.
-- Returns for each {place, number, options, identifier, entries and bytes in its queue, …}: of what is kept and not over.
-- include: formats.lua
-- include: kept.lua

local SHARED = 16 -- in the options of a filter
local tag, now, answer = KEYS[1], tonumber(ARGV[1]), {}

local function members_of(app, filter, most)
  local first, behind = bounds_of(filter)
  local found = {}
  if is_gone(tag, app) then return found end
  for _, entry in ipairs(redis.call('ZRANGEBYLEX', tag .. 'mx:' .. app, first, behind, 'LIMIT', 0, most)) do
    local place, number, options, identifier = string.match(string.sub(entry, #filter + 2), '^(%d+) (%d+) (%d+) (%d+)$')
    local row = redis.call('HMGET', session_key(tag, app, place), 'n', 'd', 'c', 'b')
    if has(tonumber(options), SHARED) and row[1] == number and not (row[2] and tonumber(row[2]) <= now) then
      for _, word in ipairs({ place, number, options, identifier, row[3], row[4] }) do
        found[#found + 1] = tonumber(word)
      end
    end
  end
  return found
end

for i = 2, #ARGV, 3 do answer[#answer + 1] = members_of(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return answer
