-- Inboxes of one partition: `kind` is 'i:' for what waits, 'o:' for what is for who is online only.
--
-- An inbox is opened once in a script; marks say what becomes of its entries, and `close_boxes` writes that. A short
-- one is read and written as a whole. Of a long one only a beginning is read, and what goes is marked dead in its
-- place; the first entry, once dead, says in place of its expiry how many bytes nobody needs to read. When
-- these are half of it, it is written anew. So the work is that for the entries concerned, and not for all.
--
-- Receipts come mostly in the order of the entries, so a search goes on where the last one ended.
-- include: ledger.lua
-- include: skipped.lua

local WINDOW = 16384 -- bytes; a shorter inbox is short
local GONE = -1
local FLAGS_AT, EXPIRY_AT = 2, 9 -- in an entry, from 0

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

local function forget_route(box, position)
  redis.call('ZREM', box.tag .. 'unr', string.format('%s:%s:%.0f', box.app, box.place, position))
end

-- Takes an entry out.
local function take_entry(box, at)
  local _, flags, position = struct.unpack(ENTRY_HEAD, box.inbox, at)
  flags = box.marks[at] or flags
  if has(flags, ROUTED) then forget_route(box, position) end
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
    redis.call('DEL', box.key)
    return
  end
  for at, mark in pairs(box.marks) do
    if at >= first then
      if mark == GONE then mark = DEAD end
      redis.call('SETRANGE', box.key, box.base + at - 1 + FLAGS_AT, string.char(mark))
    end
  end
  local skip = box.base + first - 1
  if skip == box.base then return end
  if 2 * skip > redis.call('STRLEN', box.key) then
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
