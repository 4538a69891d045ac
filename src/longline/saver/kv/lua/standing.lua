-- Where a message stands, as kv/ledgers.py adds it up.
-- include: broadcast.lua

-- Appends by kind: u, nothing, since its row says it; m: the deliveries; b: label, how many, … of its sets.
local function add_standing(tag, id, kind, found)
  if kind == 'm' then
    for _, delivery in ipairs(redis.call('HVALS', tag .. 'L:' .. id)) do found[#found + 1] = delivery end
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
