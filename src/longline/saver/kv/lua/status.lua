-- Where a message stands in one partition. KEYS: beginning of the keys. ARGV: app, id.
-- Returns false when it is not there; else {row, its sender's word for it or false, body or false, whole message or
-- false, then what standing.lua says; for u the collapse key, when there is a body}.
-- include: inbox.lua
-- include: standing.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return false end
local kind, flags, _, position = struct.unpack(ROW, row)
local found = { row, redis.call('HGET', words_key(tag, app, id), id), false, redis.call('GET', tag .. 'm:' .. id) }

if kind == 'u' and not has(flags, KEPT_APART) then
  local place = string.format('%.0f', struct.unpack('>I4', row, PLACE_AT))
  local box, at = find_box(tag, app, place, position)
  if box then
    local size, entry_flags = struct.unpack(ENTRY_HEAD, box.inbox, at)
    local body = at + ENTRY_SIZE
    if has(entry_flags, COLLAPSES) then body = body + 2 + #collapse_key_at(box.inbox, at) end
    found[3] = string.sub(box.inbox, body, at + size - ENTRY_END_SIZE - 1)
    found[5] = has(entry_flags, COLLAPSES) and collapse_key_at(box.inbox, at) or ''
  end
end
add_standing(tag, id, kind, found)
return found
