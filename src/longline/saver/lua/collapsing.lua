-- A part of enqueue.lua: what is older and has the collapse key of what comes, and broadcasts.
-- include: inbox.lua
-- include: broadcast.lua

local function collapse_inbox(app, place, collapse, now)
  local box = open_box(tag, 'i:', app, place)
  each_entry(box, function(at, flags)
    if has(flags, COLLAPSES) and collapse_key_at(box.inbox, at) == collapse then
      settle_entry(box, at, COLLAPSED, '', tonumber(now), 0)
    end
  end)
end

-- What waits for a device under a collapse key becomes collapsed, before something newer comes.
local function collapse_for(app, place, collapse, now)
  local waiting = tag .. 'c:' .. app .. ':' .. collapse
  if redis.call('SISMEMBER', waiting, place) == 1 then
    collapse_inbox(app, place, collapse, now)
    close_boxes()
  end
  redis.call('SADD', waiting, place)
  local broadcast = redis.call('HGET', tag .. 'bk:' .. app, collapse)
  if broadcast then
    local row = redis.call('HGET', ledger_key(tag, app, broadcast), broadcast)
    stand_in_broadcast(tag, broadcast, row, place, COLLAPSED, '', false)
  end
end

-- Collapses what is older than a broadcast: of broadcasts, only the newest of a key can still be pending, and
-- whoever it is pending for is registered, so the new one is for them too.
local function collapse_before(app, id, collapse, now)
  local older = redis.call('HGET', tag .. 'bk:' .. app, collapse)
  if older then
    local row = redis.call('HGET', ledger_key(tag, app, older), older)
    settle_rest(tag, older, row, COLLAPSED, '', false)
    redis.call('ZREM', tag .. 'b:' .. app, older)
  end
  redis.call('HSET', tag .. 'bk:' .. app, collapse, id)
  for _, place in ipairs(redis.call('SMEMBERS', tag .. 'c:' .. app .. ':' .. collapse)) do
    collapse_inbox(app, place, collapse, now)
  end
  close_boxes()
end

local function standing_broadcast(id, row)
  local _, _, _, position = struct.unpack(ROW, row)
  local places, deleted = struct.unpack('>I4I4', row, NEXT_AT)
  return { position, places, deleted, redis.call('GET', set_key(tag, id, 'o')) or '' }
end

local function enqueue_broadcast(i)
  local app, id, flags, now = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local created, ttl, collapse = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7]
  if is_gone(app) then return -1 end
  local row = redis.call('HGET', ledger_key(tag, app, id), id)
  if row then return standing_broadcast(id, row) end
  local places = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
  local deleted = places > 0 and redis.call('BITCOUNT', tag .. 'x:' .. app) or 0
  if deleted == places then
    places, deleted = 0, 0
    if not has(flags, HOME) then return 0 end
  end

  local position, hidden = 0, has(flags, ONLINE_ONLY)
  local log = tag .. (hidden and 'bo:' or 'b:') .. app
  redis.call('EXISTS', log, tag .. 'br') -- see touch_inboxes: both are written after the row
  note_end(app, id, created + ttl)
  row = struct.pack('>I4I4', places, deleted) .. collapse
  if places > 0 then
    position = next_position(now)
    if deleted > 0 then redis.call('COPY', tag .. 'x:' .. app, set_key(tag, id, 'o'), 'REPLACE') end
    if collapse ~= '' and not hidden then collapse_before(app, id, collapse, now) end
  end
  row = struct.pack(ROW, 'b', flags, 0, position, created, ttl) .. row
  redis.call('HSET', ledger_key(tag, app, id), id, row)
  if places > 0 then redis.call('ZADD', log, position, id) end
  if has(flags, HOME) then redis.call('ZADD', tag .. 'br', now, app .. ':' .. id) end
  return standing_broadcast(id, row)
end
