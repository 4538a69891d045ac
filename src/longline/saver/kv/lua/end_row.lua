-- include: inbox.lua
-- include: broadcast.lua

-- Settles whatever is pending of a message in this partition, by what `outcome(written)` says of it: a
-- state and a reason. Boxes stay open.
local function end_row(tag, app, id, row, outcome, now)
  local kind, _, _, position = struct.unpack(ROW, row)
  if kind == 'b' then
    local state, reason = outcome(false)
    settle_rest(tag, id, row, state, reason, set_key(tag, id, 'w'))
    state, reason = outcome(true)
    settle_rest(tag, id, row, state, reason)
    close_broadcast(tag, app, id, row)
    return
  end

  local function end_for(place, delivery)
    local was, sent = struct.unpack(DELIVERY, delivery)
    if was % CONNECTED ~= PENDING then return end
    local state, reason = outcome(sent > 0)
    local box, at = find_box(tag, app, place, position)
    if box then
      settle_entry(box, at, state, reason, now, 0)
    else
      stand(tag, app, place, id, state, reason, now, 0)
    end
  end

  if kind == 'u' then
    end_for(string.format('%.0f', struct.unpack('>I4', row, PLACE_AT)), string.sub(row, DELIVERY_AT))
  elseif kind == 'm' then
    local deliveries = redis.call('HGETALL', tag .. 'L:' .. id)
    for i = 1, #deliveries, 2 do end_for(deliveries[i], deliveries[i + 1]) end
  end
end
