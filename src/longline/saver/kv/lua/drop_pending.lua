-- include: inbox.lua
-- include: broadcast.lua

-- Drops what is pending for a device that goes. What is for who is online only ends by itself. `place` and
-- `now` (ms) may be texts. To be called while the device is still there.
local function drop_pending(tag, app, place, reason, now)
  local box = open_box(tag, 'i:', app, place)
  each_entry(box, function(at) settle_entry(box, at, DROPPED, reason, tonumber(now), 0) end)
  close_boxes()
  for _, log in ipairs({ 'b:', 'bo:' }) do
    for _, id in ipairs(redis.call('ZRANGE', tag .. log .. app, 0, -1)) do
      local row = redis.call('HGET', ledger_key(tag, app, id), id)
      stand_in_broadcast(tag, id, row, place, DROPPED, reason, false)
    end
  end
end
