-- A broadcast in one partition: sets of places, never a row a device. A place is pending when it is below
-- `next` and not in the set `o` (over, or deleted before the broadcast).
-- include: ledger.lua

local function set_key(tag, id, label)
  return tag .. 's:' .. id .. ':' .. label
end

-- The id and the row of the open broadcast at a position of the log.
local function broadcast_at(tag, app, position)
  for _, log in ipairs({ 'b:', 'bo:' }) do
    local id = redis.call('ZRANGEBYSCORE', tag .. log .. app, position, position)[1]
    if id then return id, redis.call('HGET', ledger_key(tag, app, id), id) end
  end
  return nil
end

-- The position of the last entry of the log that is before this one and still open; 0 for none.
local function log_before(tag, app, position)
  local below = string.format('(%.0f', position)
  return tonumber(redis.call('ZREVRANGEBYSCORE', tag .. 'b:' .. app, below, 0, 'WITHSCORES', 'LIMIT', 0, 1)[2] or 0)
end

local MET = 64 -- unicasts on their way that a broadcast tells of: the latest

-- What a broadcast meets: connected devices to which unicasts are on their way, as far as receipts say, and the
-- position of the last one of each that is before it: {place, position, …}.
local function met(tag, app, position)
  local found, last = {}, {}
  for _, member in ipairs(redis.call('ZREVRANGE', tag .. 'unr', 0, MET - 1)) do
    local of, place, at = string.match(member, '^(%d+):(%d+):(%d+)$')
    at = tonumber(at)
    if of == app and at < position and at > (last[place] or 0) then last[place] = at end
  end
  for place, at in pairs(last) do
    found[#found + 1] = tonumber(place)
    found[#found + 1] = at
  end
  return found
end

-- The set of an outcome, whose reason is noted.
local function outcome_key(tag, id, state, reason)
  if state == ACKED then return set_key(tag, id, 'a') end
  if state == EXPIRED then return set_key(tag, id, 'e') end
  if state == COLLAPSED then return set_key(tag, id, 'c') end
  if reason == '' then reason = 'unknown' end
  redis.call('SADD', tag .. 'r:' .. id, reason)
  return set_key(tag, id, 'd' .. reason)
end

-- A place that is over took the message: it is acked, whatever it had been taken for. Into the one set before out of
-- the other, so that this can be cut short and repeated. Returns how many have taken it by this: 1 or 0.
local function ack_after_all(tag, id, place)
  local took = 0
  local labels = { 'e', 'c' }
  for _, reason in ipairs(redis.call('SMEMBERS', tag .. 'r:' .. id)) do labels[#labels + 1] = 'd' .. reason end
  for _, label in ipairs(labels) do
    local outcome = set_key(tag, id, label)
    if redis.call('GETBIT', outcome, place) == 1 then
      redis.call('SETBIT', set_key(tag, id, 'w'), place, 1)
      redis.call('SETBIT', set_key(tag, id, 'a'), place, 1)
      redis.call('SETBIT', outcome, place, 0)
      took = 1
    end
  end
  return took
end

-- Settles one place, or notes that it was written to. Of who is not pending, it changes only who took it after all.
-- Returns how many have taken it by this.
local function stand_in_broadcast(tag, id, row, place, state, reason, written)
  place = tonumber(place)
  local over = set_key(tag, id, 'o')
  if place >= struct.unpack('>I4', row, NEXT_AT) then return 0 end
  if redis.call('GETBIT', over, place) == 1 then
    return state == ACKED and ack_after_all(tag, id, place) or 0
  end
  if written or state == ACKED then redis.call('SETBIT', set_key(tag, id, 'w'), place, 1) end
  if state == PENDING then return 0 end
  redis.call('SETBIT', over, place, 1)
  redis.call('SETBIT', outcome_key(tag, id, state, reason), place, 1)
  return state == ACKED and 1 or 0
end

-- The bytes of a set from `first` on, as many as asked for.
local function bytes_of(key, first, size)
  local bytes = redis.call('GETRANGE', key, first, first + size - 1)
  return bytes .. string.rep('\0', size - #bytes)
end

local BLOCK = 64 -- bytes of a set that are read and written at a time

-- Sets bits: masks by the number of their word of four bytes. `size` is what the block may have of the set.
local function add_words(key, first, masks, size)
  local bytes = bytes_of(key, first, BLOCK)
  local parts = {}
  for word = 0, BLOCK / 4 - 1 do
    local old = struct.unpack('>I4', bytes, 4 * word + 1)
    parts[#parts + 1] = struct.pack('>I4', bit.bor(old, masks[word] or 0))
  end
  redis.call('SETRANGE', key, first, string.sub(table.concat(parts), 1, size))
end

-- How many bits are set.
local function ones(mask)
  local n = 0
  while mask ~= 0 do
    mask = bit.band(mask, mask - 1)
    n = n + 1
  end
  return n
end

-- The same as `stand_in_broadcast` for many places, packed in four bytes each, rising: block by block.
local function stand_many(tag, id, row, places, state, reason, written)
  local count, next_place = #places / 4, struct.unpack('>I4', row, NEXT_AT)
  local over, i, took = set_key(tag, id, 'o'), 1, 0
  while i <= count do
    local place = struct.unpack('>I4', places, 4 * i - 3)
    local block = math.floor(place / (8 * BLOCK))
    local first = block * BLOCK
    local size = math.min(BLOCK, math.floor((next_place + 7) / 8) - first)
    if size <= 0 then return took end
    local had, fresh, some = bytes_of(over, first, BLOCK), {}, false
    while math.floor(place / (8 * BLOCK)) == block do
      if place < next_place then
        local word = math.floor(place / 32) % (BLOCK / 4)
        fresh[word] = bit.bor(fresh[word] or 0, bit.lshift(1, 31 - place % 32))
      end
      i = i + 1
      if i > count then break end
      place = struct.unpack('>I4', places, 4 * i - 3)
    end
    for word, mask in pairs(fresh) do
      local over_already = struct.unpack('>I4', had, 4 * word + 1)
      if state == ACKED and bit.band(mask, over_already) ~= 0 then
        for n = 0, 31 do
          if bit.band(mask, over_already, bit.lshift(1, 31 - n)) ~= 0 then
            took = took + ack_after_all(tag, id, 8 * first + 32 * word + n)
          end
        end
      end
      mask = bit.band(mask, bit.bnot(over_already))
      fresh[word] = mask
      some = some or mask ~= 0
      if state == ACKED then took = took + ones(mask) end
    end
    if some then
      if written or state == ACKED then add_words(set_key(tag, id, 'w'), first, fresh, size) end
      if state ~= PENDING then
        add_words(over, first, fresh, size)
        add_words(outcome_key(tag, id, state, reason), first, fresh, size)
      end
    end
  end
  return took
end

-- The set of broadcasts in the log that have a collapse key, and are pending for somebody.
local function collapsible(tag, app, collapse)
  return tag .. 'bk:' .. app .. ':' .. collapse
end

-- Settles all that are pending, but for those in the set `spared`, if there is one; how many these are.
local function settle_rest(tag, id, row, state, reason, spared)
  local places = struct.unpack('>I4', row, NEXT_AT)
  if places == 0 then return 0 end
  local over, rest, aside = set_key(tag, id, 'o'), set_key(tag, id, 'rest'), set_key(tag, id, 'aside')
  local last = math.floor((places - 1) / 8)
  if redis.call('STRLEN', over) <= last then redis.call('SETRANGE', over, last, '\0') end
  redis.call('BITOP', 'NOT', rest, over)
  local beyond = 8 * (last + 1) - places -- bits of the last byte that stand for no place
  if beyond > 0 then
    local byte = string.byte(redis.call('GETRANGE', rest, last, last))
    redis.call('SETRANGE', rest, last, string.char(byte - byte % 2 ^ beyond))
  end
  local left = 0
  if spared then
    redis.call('BITOP', 'AND', aside, rest, spared)
    redis.call('BITOP', 'XOR', rest, rest, aside)
    left = redis.call('BITCOUNT', aside)
  end
  if redis.call('BITCOUNT', rest) > 0 then
    local outcome = outcome_key(tag, id, state, reason)
    redis.call('BITOP', 'OR', over, over, rest)
    redis.call('BITOP', 'OR', outcome, outcome, rest)
  end
  redis.call('DEL', rest, aside)
  return left
end

-- Takes a broadcast out of the log, and forgets what is only needed while it is open.
local function close_broadcast(tag, app, id, row)
  local _, flags, _, position = struct.unpack(ROW, row)
  redis.call('ZREM', tag .. (has(flags, ONLINE_ONLY) and 'bo:' or 'b:') .. app, id)
  redis.call('ZREM', tag .. 'bh:' .. app, id)
  local collapse = string.sub(row, COLLAPSE_AT)
  if collapse ~= '' then redis.call('SREM', collapsible(tag, app, collapse), id) end
  if not has(flags, HOME) then return end
  local member = app .. ':' .. id
  redis.call('ZREM', tag .. 'br', member)
  local tasks = redis.call('HGETALL', tag .. 'k:' .. id)
  for i = 1, #tasks, 2 do redis.call('SREM', tag .. 'kn:' .. tasks[i], member) end
  redis.call('DEL', tag .. 'm:' .. id, tag .. 'k:' .. id)
end

local function forget_broadcast(tag, id)
  local keys = { tag .. 'r:' .. id }
  for _, label in ipairs({ 'o', 'w', 'a', 'e', 'c' }) do keys[#keys + 1] = set_key(tag, id, label) end
  for _, reason in ipairs(redis.call('SMEMBERS', tag .. 'r:' .. id)) do
    keys[#keys + 1] = set_key(tag, id, 'd' .. reason)
  end
  redis.call('DEL', unpack(keys))
end
