-- Who has aliases. KEYS: beginning of the keys. ARGV: app, how many names of each at most, aliases.
-- Returns, of each alias that somebody has, {its number, counted from 0, names}.
-- include: labels.lua
local tag, app, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return {} end

-- Places of a bitmap, at most `limit`.
local function first_of(key)
  local places, from = {}, 0
  while #places < limit do
    local place = redis.call('BITPOS', key, 1, from, -1, 'BIT')
    if place < 0 then break end
    places[#places + 1] = place
    from = place + 1
  end
  return places
end

local found = {}
for i = 3, #ARGV do
  local key = label_key(tag, app, ALIAS, ARGV[i])
  local places = members_of(key) or first_of(key)
  if #places > 0 then
    local names = {}
    for n = 1, math.min(#places, limit) do
      names[n] = redis.call('HGET', tag .. 'd:' .. app .. ':' .. places[n], 'n')
    end
    found[#found + 1] = { i - 3, names }
  end
end
return found
