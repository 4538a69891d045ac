-- include: inbox.lua
-- include: broadcast.lua

-- Drops entries of an inbox until `enough()`: the oldest without high priority first, then the oldest.
local function drop_oldest(tag, app, place, now, enough)
  local box = open_box(tag, 'i:', app, place)
  for _, urgent in ipairs({ false, true }) do
    local at = 1
    local size, flags = entry_at(box, at)
    while size do
      if enough() then
        close_boxes()
        return
      end
      if not is_gone_entry(box, at, flags) and has(flags, URGENT) == urgent then
        local length = payload_at(box.inbox, at)
        settle_entry(box, at, DROPPED, INBOX_FULL, now, 0)
        enough(length)
      end
      at = at + size
      size, flags = entry_at(box, at)
    end
  end
  close_boxes()
end

-- Drops the oldest of an inbox that holds too much.
local function bound_inbox(tag, app, place, now, most, most_bytes)
  local count, bytes = measure(tag, app, place)
  drop_oldest(tag, app, place, now, function(gone)
    if gone then count, bytes = count - 1, bytes - gone end
    return count <= most and (bytes <= most_bytes or count <= 1)
  end)
end

-- Drops the oldest of what waits for a device that comes, in its inbox and in the log after its cursor.
local function bound_waiting(tag, app, place, after, now, most)
  local waiting, high = {}, {}
  local log = redis.call('ZRANGEBYSCORE', tag .. 'b:' .. app, string.format('(%.0f', after), '+inf', 'WITHSCORES')
  for n = 1, #log, 2 do
    local row = redis.call('HGET', ledger_key(tag, app, log[n]), log[n])
    local _, flags, _, _, created, ttl = struct.unpack(ROW, row)
    local open = created + ttl > now and place < struct.unpack('>I4', row, NEXT_AT)
    if open and redis.call('GETBIT', set_key(tag, log[n], 'o'), place) == 0 then
      local item = { tonumber(log[n + 1]), log[n], row }
      if has(flags, HIGH) then high[#high + 1] = item else waiting[#waiting + 1] = item end
    end
  end
  local count = measure(tag, app, place) + #waiting + #high
  if count <= most then return end
  local box = open_box(tag, 'i:', app, place)
  each_entry(box, function(at, flags)
    local _, _, position = struct.unpack(ENTRY_HEAD, box.inbox, at)
    local item = { position, false, at }
    if has(flags, URGENT) then high[#high + 1] = item else waiting[#waiting + 1] = item end
  end)
  for _, part in ipairs({ waiting, high }) do
    table.sort(part, function(one, other) return one[1] < other[1] end)
    for _, item in ipairs(part) do
      if count <= most then break end
      count = count - 1
      local _, id, rest = unpack(item)
      if id then
        if redis.call('GETBIT', set_key(tag, id, 'w'), place) == 0 then note_gap(tag, app, place, DROPPED, now) end
        stand_in_broadcast(tag, id, rest, place, DROPPED, INBOX_FULL, false)
      else
        settle_entry(box, rest, DROPPED, INBOX_FULL, now, 0)
      end
    end
  end
  close_boxes()
end
