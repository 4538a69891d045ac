-- Where a message stands, as kv/ledgers.py adds it up.
-- include: broadcast.lua

local NEVER, ONCE = '\0\0\0\0', '\0\0\0\1' -- times of a delivery

-- Appends by kind: u, nothing, since its row says it; m: delivery, how many, …, where the times of a delivery say only
-- whether it was sent; b: label, how many, … of its sets.
local function add_standing(tag, id, kind, found)
  if kind == 'm' then
    local places = {} -- in `found`, of how many
    for _, delivery in ipairs(redis.call('HVALS', tag .. 'L:' .. id)) do
      local sent = string.sub(delivery, 2, 5) == NEVER and NEVER or ONCE
      local standing = string.sub(delivery, 1, 1) .. sent .. NEVER .. string.sub(delivery, 10)
      if not places[standing] then
        found[#found + 1] = standing
        found[#found + 1] = 0
        places[standing] = #found
      end
      found[places[standing]] = found[places[standing]] + 1
    end
  elseif kind == 'b' then
    local labels = { 'w', 'a', 'e', 'c' }
    local reasons = redis.call('SMEMBERS', tag .. 'r:' .. id)
    for _, reason in ipairs(reasons) do labels[#labels + 1] = 'd' .. reason end
    for _, label in ipairs(labels) do
      found[#found + 1] = label
      found[#found + 1] = redis.call('BITCOUNT', set_key(tag, id, label))
    end
  end
end
