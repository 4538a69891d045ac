-- Inboxes of one partition: `kind` is 'i:' for what waits, 'o:' for what is for who is online only.
--
-- An inbox is opened once in a script; marks say what becomes of its entries, and `close_boxes` writes that. A short
-- one is read and written as a whole. Of a long one only a beginning is read, and what goes is marked dead in its
-- place; the first entry, once dead, says in place of its expiry how many bytes nobody needs to read. When
-- these are half of it, it is written anew. So the work is that for the entries concerned, and not for all.
--
-- Receipts come mostly in the order of the entries, so a search goes on where the last one ended.
--
-- How much a long inbox holds stands in `il:<app>` once it was asked for: how many entries, the bytes of their
-- messages, and how far into the inbox these were counted. What comes is counted when it is asked for again, what goes
-- when it goes.
-- include: ledger.lua
-- include: skipped.lua

local WINDOW = 16384 -- bytes; a shorter inbox is short
local GONE = -1
local FLAGS_AT, EXPIRY_AT = 2, 9 -- in an entry, from 0

local COUNTED, COUNTED_SIZE = '>I4I6I6', 16

local boxes = {}

local function open_box(tag, kind, app, place)
  local key = tag .. kind .. app .. ':' .. place
  local box = boxes[key]
  if box then return box end
  box = { inbox = redis.call('GETRANGE', key, 0, WINDOW - 1), marks = {}, at = 1, position = 0 }
  box.tag, box.kind, box.app, box.place = tag, kind, app, place
  box.key = key
  box.short = #box.inbox < WINDOW
  box.whole = box.short
  box.base = skipped(box.inbox)
  if box.base > 0 then box.inbox = string.sub(box.inbox, box.base + 1) end
  boxes[key] = box
  return box
end

-- Size, flags and position of the entry that begins there; nil at the end.
local function entry_at(box, at)
  while true do
    local left = #box.inbox - at + 1
    if left > 1 and left >= struct.unpack('>I2', box.inbox, at) then
      return struct.unpack(ENTRY_HEAD, box.inbox, at)
    end
    if box.whole then return nil end
    local first = box.base + #box.inbox
    local more = redis.call('GETRANGE', box.key, first, first + WINDOW - 1)
    box.whole = #more < WINDOW
    box.inbox = box.inbox .. more
  end
end

local function is_gone_entry(box, at, flags)
  return has(flags, DEAD) or box.marks[at] == GONE
end

-- Where the entry at a position begins; nil when it is not there any more.
local function find_entry(box, position)
  local at = position >= box.position and box.at or 1
  local size, flags, here = entry_at(box, at)
  while size do
    if here >= position then
      box.at, box.position = at, here
      if here > position or is_gone_entry(box, at, flags) then return nil end
      return at
    end
    at = at + size
    size, flags, here = entry_at(box, at)
  end
  return nil
end

-- The inbox that has the entry at a position, and where it begins there.
local function find_box(tag, app, place, position)
  for _, kind in ipairs({ 'i:', 'o:' }) do
    local box = open_box(tag, kind, app, place)
    local at = find_entry(box, position)
    if at then return box, at end
  end
  return nil
end

local function collapse_key_at(inbox, at)
  local length = struct.unpack('>I2', inbox, at + ENTRY_SIZE)
  return string.sub(inbox, at + ENTRY_SIZE + 2, at + ENTRY_SIZE + 1 + length)
end

-- The bytes of the message in an entry that begins there in a text.
local function payload_at(inbox, at)
  local size, flags = struct.unpack(ENTRY_HEAD, inbox, at)
  local body = at + ENTRY_SIZE
  if has(flags, COLLAPSES) then body = body + 2 + struct.unpack('>I2', inbox, body) end
  return has(flags, APART) and struct.unpack('>I4', inbox, body) or at + size - ENTRY_END_SIZE - body
end

-- How many entries an inbox has, and the bytes of their messages. Nothing may be marked in its box.
local function measure(tag, app, place)
  local key = tag .. 'i:' .. app .. ':' .. place
  local counted = redis.call('HGET', tag .. 'il:' .. app, place)
  local count, bytes, from = 0, 0, 0
  if counted then count, bytes, from = struct.unpack(COUNTED, counted) end
  local inbox = redis.call('GETRANGE', key, from, -1)
  local at = (counted and 0 or skipped(inbox)) + 1
  while at <= #inbox do
    local size, flags = struct.unpack(ENTRY_HEAD, inbox, at)
    if not has(flags, DEAD) then count, bytes = count + 1, bytes + payload_at(inbox, at) end
    at = at + size
  end
  if from + #inbox >= WINDOW then
    redis.call('HSET', tag .. 'il:' .. app, place, struct.pack(COUNTED, count, bytes, from + #inbox))
  end
  return count, bytes
end

-- An inbox that is counted is about to lose the entries that are marked, and its first bytes, up to `cut`.
local function discount(box, cut, rest)
  local index = box.tag .. 'il:' .. box.app
  local counted = box.kind == 'i:' and redis.call('HGET', index, box.place)
  if not counted then return end
  if rest < WINDOW then
    redis.call('HDEL', index, box.place)
    return
  end
  local count, bytes, to = struct.unpack(COUNTED, counted)
  for at, mark in pairs(box.marks) do
    if mark == GONE and box.base + at - 1 < to then
      count, bytes = count - 1, bytes - payload_at(box.inbox, at)
    end
  end
  redis.call('HSET', index, box.place, struct.pack(COUNTED, count, bytes, math.max(0, to - cut)))
end

local function forget_route(box, position)
  redis.call('ZREM', box.tag .. 'unr', string.format('%s:%s:%.0f', box.app, box.place, position))
end

-- Takes an entry out.
local function take_entry(box, at)
  local _, flags, position = struct.unpack(ENTRY_HEAD, box.inbox, at)
  flags = box.marks[at] or flags
  if has(flags, ROUTED) then forget_route(box, position) end
  if has(flags, URGENT) and box.kind == 'i:' then
    redis.call('ZREM', box.tag .. 'ih:' .. box.app .. ':' .. box.place, string.format('%.0f', position))
  end
  if has(flags, COLLAPSES) and box.kind == 'i:' then
    redis.call('SREM', box.tag .. 'c:' .. box.app .. ':' .. collapse_key_at(box.inbox, at), box.place)
  end
  box.marks[at] = GONE
end

-- Notes that an entry was written to a connection.
local function mark_written(box, at)
  local _, flags, position = struct.unpack(ENTRY_HEAD, box.inbox, at)
  local now = box.marks[at] or flags
  if has(now, ROUTED) then
    forget_route(box, position)
    now = now - ROUTED
  end
  if not has(now, WRITTEN) then now = now + WRITTEN end
  if now ~= flags then box.marks[at] = now end
end

-- Settles an entry, or notes that it was written.
local function settle_entry(box, at, state, reason, time, sent_at)
  local _, _, _, _, id = struct.unpack(ENTRY, box.inbox, at)
  stand(box.tag, box.app, box.place, id, state, reason, time, sent_at)
  if state == PENDING then mark_written(box, at) else take_entry(box, at) end
end

-- Calls `visit(at, flags)` for the entries that are there.
local function each_entry(box, visit)
  local at = 1
  local size, flags = entry_at(box, at)
  while size do
    if not is_gone_entry(box, at, flags) then visit(at, box.marks[at] or flags) end
    at = at + size
    size, flags = entry_at(box, at)
  end
end

local function write_short(box)
  local parts = {}
  each_entry(box, function(at, flags)
    local size = struct.unpack('>I2', box.inbox, at)
    parts[#parts + 1] = string.sub(box.inbox, at, at + 1) .. string.char(flags)
    parts[#parts + 1] = string.sub(box.inbox, at + 3, at + size - 1)
  end)
  local left = table.concat(parts)
  if left == '' then redis.call('DEL', box.key) else redis.call('SET', box.key, left) end
end

local function write_long(box)
  local first = 1 -- of those that stay
  local size, flags = entry_at(box, first)
  while size and is_gone_entry(box, first, flags) do
    first = first + size
    size, flags = entry_at(box, first)
  end
  if not size then
    discount(box, 0, 0)
    redis.call('DEL', box.key)
    return
  end
  local skip, length = box.base + first - 1, redis.call('STRLEN', box.key)
  local cut = skip > box.base and 2 * skip > length and skip or 0
  discount(box, cut, length - cut)
  for at, mark in pairs(box.marks) do
    if at >= first then
      if mark == GONE then mark = DEAD end
      redis.call('SETRANGE', box.key, box.base + at - 1 + FLAGS_AT, string.char(mark))
    end
  end
  if skip == box.base then return end
  if cut > 0 then
    redis.call('SET', box.key, redis.call('GETRANGE', box.key, skip, -1))
  else
    redis.call('SETRANGE', box.key, FLAGS_AT, string.char(DEAD))
    redis.call('SETRANGE', box.key, EXPIRY_AT, struct.pack('>I6', skip))
  end
end

-- Writes what has changed.
local function close_boxes()
  for _, box in pairs(boxes) do
    if next(box.marks) then
      if box.short then write_short(box) else write_long(box) end
    end
  end
  boxes = {}
end
