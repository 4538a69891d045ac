-- Messages for devices of one partition, in their order; each once, however often it is given.
-- KEYS: beginning of the keys. ARGV: how many messages may wait in an inbox, how many bytes of them; for each message:
--   u, app, id, flags of the row, now, created, TTL, collapse key, content, 1 when the journal has it: then it is
--      stored also when nobody exists, and counted there,
--   how many names, names. The content is a body, or with KEPT_APART a whole message.
--   b, app, id, flags of the row, now, created, TTL, collapse key, expression (see audiences.lua).
--   q, how many messages may wait in an inbox, how many bytes of them: from the next message on.
--   g, group, sequence of the message before it in the group, its own: for the message behind, a b.
--   w, app, id, sender's word: for the message before, if it is for anybody here.
-- Returns for each message: -1 when the app is deleted; 0 when it is for nobody here; -2 - n when what was said before
-- it in its group is missing, and n is the latest that is here; else
--   u: {position, position of the broadcast before it, place or -1, binding or false, position of what was last in the
--       inbox before, …} by name;
--   b: {position, how many places, how many of them it is not for, bitmap of those not pending, position of the
--       broadcast before it, {place, position of a unicast that is on its way and before it, …}}.
-- The broadcast before it is the last one in the log that is still open, or there may be none: 0.
-- include: formats.lua
-- include: counting.lua

local tag = KEYS[1]
local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local gone, newest, accepted = {}, {}, {}

local function is_gone(app)
  if gone[app] == nil then gone[app] = redis.call('SISMEMBER', tag .. 'gone', app) == 1 end
  return gone[app]
end

-- Positions rise with the clock, 64 a millisecond, and faster only while there are more. So they also rise above
-- those that a store which lost its latest writes had given: rooms and devices have read that far.
local function next_position(now)
  local position, least = redis.call('INCR', tag .. 'pos'), now * 64
  if position >= least then return position end
  redis.call('SET', tag .. 'pos', string.format('%.0f', least))
  return least
end

-- The position of the last broadcast in an app's log; 0 for none.
local function log_end(app)
  if not newest[app] then
    newest[app] = tonumber(redis.call('ZREVRANGE', tag .. 'b:' .. app, 0, 0, 'WITHSCORES')[2] or 0)
  end
  return newest[app]
end

-- Notes the bucket of a message, and when something is to be done about it. Before it is stored: to look in vain does
-- no harm. Messages that come together are mostly of one bucket, which is noted once.
local noted = {}
local function note_end(app, id, ends_at)
  local bucket = string.sub(id, 1, 5)
  local of = app .. ':' .. bucket
  if noted[of] and noted[of] <= ends_at then return end
  redis.call('ZADD', tag .. 'lx:' .. app, 0, bucket)
  if redis.call('ZADD', tag .. 'due:' .. app, 'LT', 'CH', ends_at, bucket) == 1 then
    redis.call('ZADD', tag .. 'due', 'LT', ends_at, app)
  end
  noted[of] = ends_at
end

local LEAST = ENTRY_SIZE + ENTRY_END_SIZE -- bytes of an entry, in any case
local LARGE, LARGEST = 8192, 262144 -- bytes of messages

-- Whether an inbox of this length may hold too much, with a message of so many bytes that came last. It is counted
-- only then; as to bytes, a message that is not large does not have all counted.
local function may_overflow(length, bytes)
  local entries = length / LEAST
  return entries > most or entries * LARGE > most_bytes or bytes > LARGE and entries * LARGEST > most_bytes
end

-- What only broadcasts, messages with a collapse key and full inboxes need. Every call of a script makes its functions
-- anew, which takes longer than to store a message; so these are made when they are asked for.
local function make_rare()
-- include: collapsing.lua
-- include: overflow.lua
  return {
    collapse_for = collapse_for, enqueue_broadcast = enqueue_broadcast, log_before = log_before,
    bound_inbox = bound_inbox,
  }
end

local rare
local function get_rare()
  rare = rare or make_rare()
  return rare
end

-- The answer to a message to names; places that it is not for are false.
local function answer(app, position, places, bindings, before)
  local log_before = log_end(app)
  if log_before > position then log_before = get_rare().log_before(tag, app, position) end -- it is given again
  local reply = { position, log_before }
  for n, place in ipairs(places) do
    reply[3 * n] = place and tonumber(place) or -1
    reply[3 * n + 1] = place and bindings[n]
    reply[3 * n + 2] = before[n] or 0
  end
  return reply
end

-- The answer to a message that is stored already: the same as the first time, but for what was before it,
-- which nobody knows any more and which is said to be as late as can be.
local function stored_unicast(app, id, row, places, bindings)
  local kind, _, _, position = struct.unpack(ROW, row)
  for n, place in ipairs(places) do
    local stored = place and kind == 'u' and tonumber(place) == struct.unpack('>I4', row, PLACE_AT)
      or place and kind == 'm' and redis.call('HEXISTS', tag .. 'L:' .. id, place) == 1
    if not stored then places[n] = false end
  end
  local before = {}
  for n in ipairs(places) do before[n] = position - 1 end
  return answer(app, position, places, bindings, before)
end

-- A script that comes upon a key which was just moved to another server is cut short, and carried out again. So
-- whoever writes to several inboxes comes upon all of them first, and no device gets a message twice.
local function touch_inboxes(kind, app, places)
  local keys = {}
  for _, place in ipairs(places) do
    if place then keys[#keys + 1] = tag .. kind .. app .. ':' .. place end
  end
  redis.call('EXISTS', unpack(keys))
end

local function enqueue_unicast(i)
  local app, id, flags, now = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local created, ttl, collapse = tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6]), ARGV[i + 7]
  local content = ARGV[i + 8]
  local first, last = i + 11, i + 10 + ARGV[i + 10]
  if is_gone(app) then return -1 end
  if last < first then return 0 end
  local places = redis.call('HMGET', tag .. 'n:' .. app, unpack(ARGV, first, last))
  local bindings = redis.call('HMGET', tag .. 'w:' .. app, unpack(ARGV, first, last))
  local ledger = ledger_key(tag, app, id)
  local row = redis.call('HGET', ledger, id)
  if row then return stored_unicast(app, id, row, places, bindings) end
  local found = 0
  for _, place in ipairs(places) do
    if place then found = found + 1 end
  end
  if found == 0 and ARGV[i + 9] == '0' then return 0 end

  local hidden = has(flags, ONLINE_ONLY)
  local inboxes = hidden and 'o:' or 'i:'
  if found > 1 then touch_inboxes(inboxes, app, places) end
  local position = found > 0 and next_position(now) or 0
  local entry_flags = (hidden and HIDDEN or 0) + (has(flags, HIGH) and URGENT or 0)
  local kind = found > 1 and 'm' or found == 1 and 'u' or 'x'
  row = struct.pack(ROW, kind, flags, #places - found, position, created, ttl)
  if found > 1 then row = row .. struct.pack('>I2', found) end
  note_end(app, id, created + ttl)
  local bytes, crowded = #content, {}
  if has(flags, KEPT_APART) then
    if found > 0 then redis.call('SET', tag .. 'm:' .. id, content) end
    content = struct.pack('>I4', #content)
    entry_flags = entry_flags + APART
  end
  if collapse ~= '' then
    content = struct.pack('>I2', #collapse) .. collapse .. content
    entry_flags = entry_flags + COLLAPSES
  end
  content = content .. struct.pack(ENTRY_END, position)

  local before = {}
  for n, place in ipairs(places) do
    if place then
      local bound = bindings[n]
      local delivery = struct.pack(DELIVERY, bound and CONNECTED or 0, 0, 0)
      if found == 1 then
        row = row .. struct.pack('>I4', place) .. delivery
      else
        redis.call('HSET', tag .. 'L:' .. id, place, delivery)
      end
      if collapse ~= '' and not hidden then get_rare().collapse_for(app, place, collapse, now) end
      local routed = 0
      if bound and string.find(bound, '^%d+ %d+ 0 ') then
        routed = ROUTED
        redis.call('ZADD', tag .. 'unr', now, string.format('%s:%s:%.0f', app, place, position))
      end
      local head = struct.pack(ENTRY, ENTRY_SIZE + #content, entry_flags + routed, position, created + ttl, id)
      local inbox = tag .. inboxes .. app .. ':' .. place
      if not hidden then
        local last = redis.call('GETRANGE', inbox, -ENTRY_END_SIZE, -1)
        before[n] = last ~= '' and struct.unpack(ENTRY_END, last) or 0
      end
      local length = redis.call('APPEND', inbox, head .. content)
      if not hidden and has(flags, HIGH) then
        redis.call('ZADD', tag .. 'ih:' .. app .. ':' .. place, position, string.format('%.0f', position))
      end
      if not hidden and may_overflow(length, bytes) then crowded[#crowded + 1] = place end
    end
  end
  redis.call('HSET', ledger, id, row) -- last: by it a message that is given again is known
  if ARGV[i + 9] == '0' then accepted[app] = (accepted[app] or 0) + 1 end
  for _, place in ipairs(crowded) do
    get_rare().bound_inbox(tag, app, place, tonumber(now), most, most_bytes)
  end
  return answer(app, position, places, bindings, before)
end

local replies, i, said = {}, 3, nil
while i <= #ARGV do
  if ARGV[i] == 'u' then
    replies[#replies + 1] = enqueue_unicast(i)
    i = i + 11 + ARGV[i + 10]
  elseif ARGV[i] == 'g' then
    said = { group = ARGV[i + 1], before = tonumber(ARGV[i + 2]), sequence = tonumber(ARGV[i + 3]) }
    i = i + 4
  elseif ARGV[i] == 'w' then
    local app, id, before = ARGV[i + 1], ARGV[i + 2], replies[#replies]
    if type(before) == 'table' then redis.call('HSET', words_key(tag, app, id), id, ARGV[i + 3]) end
    i = i + 4
  elseif ARGV[i] == 'q' then
    most, most_bytes = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    i = i + 3
  else
    replies[#replies + 1] = get_rare().enqueue_broadcast(i, said)
    i, said = i + 9, nil
  end
end
for app, n in pairs(accepted) do count(tag, app, ARGV[7], 'm', n) end -- at the time of the first message
return replies
