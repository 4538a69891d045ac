-- Where a message stands in one partition. KEYS: beginning of the keys. ARGV: app, id.
-- Returns false when it is not there; else {row, body or false, whole message or false, then by kind:
--   m: the deliveries; b: label, how many, … of its sets}.
-- include: inbox.lua
-- include: broadcast.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return false end
local kind, flags, _, position = struct.unpack(ROW, row)
local found = { row, false, redis.call('GET', tag .. 'm:' .. id) }

if kind == 'u' and not has(flags, KEPT_APART) then
  local place = string.format('%.0f', struct.unpack('>I4', row, PLACE_AT))
  local box, at = find_box(tag, app, place, position)
  if box then
    local size, entry_flags = struct.unpack(ENTRY_HEAD, box.inbox, at)
    local body = at + ENTRY_SIZE
    if has(entry_flags, COLLAPSES) then body = body + 2 + #collapse_key_at(box.inbox, at) end
    found[2] = string.sub(box.inbox, body, at + size - ENTRY_END_SIZE - 1)
    found[4] = has(entry_flags, COLLAPSES) and collapse_key_at(box.inbox, at) or ''
  end
elseif kind == 'm' then
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
return found
