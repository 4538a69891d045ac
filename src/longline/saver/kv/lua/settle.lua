-- Receipts. KEYS: beginning of the keys. ARGV, for each: how many devices of a broadcast, or 0, app, place,
-- position, state, at, sent at, reason, epoch ("0": heard in any case). Several devices of a broadcast have
-- their places packed, in four bytes each and rising, and epoch "0".
-- Returns 1 when something that a device took was not found by its position: see take.lua.
-- include: inbox.lua
-- include: fence.lua
-- include: counting_taken.lua

local tag = KEYS[1]
local missed, latest = 0, 0

-- Made when it is needed: every call of a script makes its functions anew.
local function make_settle_broadcast()
-- include: broadcast.lua
  local log = {}
  return function(count, app, place, position, state, reason, at, sent_at)
    local key = app .. ':' .. position
    if log[key] == nil then log[key] = { broadcast_at(tag, app, position) } end
    local id, row = log[key][1], log[key][2]
    if not id then
      if state == ACKED then missed = 1 end
      return
    end
    if reason == TOO_LARGE and redis.call('GETBIT', set_key(tag, id, 'o'), place) == 0 then
      note_gap(tag, app, place, DROPPED, at)
    end
    local stand = count == 1 and stand_in_broadcast or stand_many
    local took = stand(tag, id, row, place, state, reason, state == PENDING or sent_at > 0)
    if took > 0 then note_taken(app, took) end
  end
end

local settle_broadcast
for i = 1, #ARGV, 9 do
  local app, place, position, state = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local at, sent_at, reason, epoch = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7], ARGV[i + 8]
  latest = math.max(latest, at)
  if epoch == '0' or owns(tag, app, place, epoch) then
    local count = tonumber(ARGV[i])
    if count > 0 then
      settle_broadcast = settle_broadcast or make_settle_broadcast()
      settle_broadcast(count, app, place, position, state, reason, at, sent_at)
    else
      local box, entry = find_box(tag, app, place, tonumber(position))
      if box then
        if state == PENDING and sent_at == 0 then sent_at = at end
        settle_entry(box, entry, state, reason, at, sent_at)
      elseif state == ACKED then
        missed = 1
      end
    end
  end
end
close_boxes()
count_taken(tag, latest)
return missed
