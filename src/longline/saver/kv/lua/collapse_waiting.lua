-- A broadcast with a collapse key makes collapsed what waits under it in inboxes, for the devices of both: a slice of
-- them, since there may be as many as there are devices. To be repeated at will, from any slice on.
-- KEYS: beginning of the keys. ARGV: app, id, slice ("0" for the first), how many devices about, now.
-- Returns the next slice, "0" when there is none.
local tag = KEYS[1]
-- include: broadcast.lua
-- include: collapse_inbox.lua

local app, id = ARGV[1], ARGV[2]
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return '0' end
local _, flags, _, position = struct.unpack(ROW, row)
if has(flags, ENDED) or has(flags, CANCELLED) then return '0' end
local places, collapse = struct.unpack('>I4', row, NEXT_AT), string.sub(row, COLLAPSE_AT)

-- Who is over without that it was written to was never a target, or is one for whom something newer has done this.
local function is_target(place)
  return tonumber(place) < places
    and (redis.call('GETBIT', set_key(tag, id, 'o'), place) == 0 or redis.call('GETBIT', set_key(tag, id, 'w'), place) == 1)
end

local found = redis.call('SSCAN', tag .. 'c:' .. app .. ':' .. collapse, ARGV[3], 'COUNT', ARGV[4])
for _, place in ipairs(found[2]) do
  if is_target(place) then collapse_inbox(app, place, collapse, ARGV[5], position) end
end
close_boxes()
return found[1]
