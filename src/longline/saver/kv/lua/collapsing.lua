-- A part of enqueue.lua: what is older and has the collapse key of what comes, and broadcasts.
-- include: inbox.lua
-- include: broadcast.lua
-- include: audiences.lua
-- include: collapse_inbox.lua

-- What waits for a device under a collapse key becomes collapsed, before something newer comes.
local function collapse_for(app, place, collapse, now)
  local waiting = tag .. 'c:' .. app .. ':' .. collapse
  if redis.call('SISMEMBER', waiting, place) == 1 then
    collapse_inbox(app, place, collapse, now, nil)
    close_boxes()
  end
  redis.call('SADD', waiting, place)
  for _, broadcast in ipairs(redis.call('SMEMBERS', collapsible(tag, app, collapse))) do
    local row = redis.call('HGET', ledger_key(tag, app, broadcast), broadcast)
    if row then stand_in_broadcast(tag, broadcast, row, place, COLLAPSED, '', false) end
  end
end

-- Collapses broadcasts that are older than one, for the devices of both. `without`: the set of those that the new one
-- is not for. What is older in inboxes follows in slices: see collapse_waiting.lua.
local function collapse_before(app, id, collapse, without)
  local open = collapsible(tag, app, collapse)
  for _, older in ipairs(redis.call('SMEMBERS', open)) do
    local row = older ~= id and redis.call('HGET', ledger_key(tag, app, older), older)
    if row and settle_rest(tag, older, row, COLLAPSED, '', without) == 0 then
      redis.call('SREM', open, older)
      redis.call('ZREM', tag .. 'b:' .. app, older)
      redis.call('ZREM', tag .. 'bh:' .. app, older)
    end
  end
  redis.call('SADD', open, id)
end

local function stored_broadcast(app, id, row)
  local _, _, _, position = struct.unpack(ROW, row)
  local places, without = struct.unpack('>I4I4', row, NEXT_AT)
  local bitmap = redis.call('GET', set_key(tag, id, 'o')) or ''
  return { position, places, without, bitmap, log_before(tag, app, position), met(tag, app, position) }
end

-- What is known here of a group, before a message to it is stored: whether one before it is missing, and whether it was
-- here before. A message whose row is not here was for nobody then.
local function heard(app, said)
  local last = tonumber(redis.call('HGET', tag .. 'gq:' .. app, said.group) or 0)
  if last < said.before then return -2 - last end
  return last >= said.sequence and 0 or nil
end

local function note_heard(app, said, id, ends_at, now)
  local last, open = tag .. 'gq:' .. app, tag .. 'gl:' .. app .. ':' .. said.group
  if ends_at then
    redis.call('ZREMRANGEBYSCORE', open, '-inf', '(' .. now)
    redis.call('ZADD', open, ends_at, id)
  end
  if tonumber(redis.call('HGET', last, said.group) or 0) < said.sequence then
    redis.call('HSET', last, said.group, said.sequence)
  end
end

-- `said`: of a message to a group, its place there.
local function enqueue_broadcast(i, said)
  local app, id, flags, now = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local created, ttl, collapse = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7]
  if is_gone(app) then return -1 end
  local row = redis.call('HGET', ledger_key(tag, app, id), id)
  if row then
    if said then note_heard(app, said, id, created + ttl, now) end -- whoever was cut short in between
    return stored_broadcast(app, id, row)
  end
  local known = said and heard(app, said)
  if known then return known end
  local places, without, freeze = resolve(tag, app, ARGV[i + 8])
  if without == places then
    places, without = 0, 0
    if not has(flags, HOME) then
      if said then note_heard(app, said, id, nil, now) end
      return 0
    end
  end

  local position, hidden = 0, has(flags, ONLINE_ONLY)
  local log, over = tag .. (hidden and 'bo:' or 'b:') .. app, set_key(tag, id, 'o')
  redis.call('EXISTS', log, tag .. 'br') -- see touch_inboxes: both are written after the row
  note_end(app, id, created + ttl)
  row = struct.pack('>I4I4', places, without) .. collapse
  if places > 0 then
    position = next_position(now)
    freeze(over)
    if collapse ~= '' and not hidden then collapse_before(app, id, collapse, over) end
  end
  row = struct.pack(ROW, 'b', flags, 0, position, created, ttl) .. row
  redis.call('HSET', ledger_key(tag, app, id), id, row)
  if places > 0 then
    redis.call('ZADD', log, position, id)
    if has(flags, HIGH) and not hidden then redis.call('ZADD', tag .. 'bh:' .. app, position, id) end
  end
  if has(flags, HOME) then redis.call('ZADD', tag .. 'br', now, app .. ':' .. id) end
  if said then note_heard(app, said, id, places > 0 and created + ttl or nil, now) end
  newest[app] = nil
  return stored_broadcast(app, id, row)
end
