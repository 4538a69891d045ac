-- The ledger of one partition.
-- include: formats.lua

-- A time as a delivery has it.
local function since(created, at)
  if at == 0 then return 0 end
  return math.min(math.max(at - created + 1, 1), 4294967295)
end

-- A delivery after a receipt, and whether it has left pending by it. What a device took is acked, whatever it had
-- been taken for.
local function moved(delivery, created, state, reason, at, sent_at)
  local was, sent, settled = struct.unpack(DELIVERY, delivery)
  local before = was % CONNECTED
  local left = before == PENDING and state ~= PENDING
  if sent == 0 then sent = since(created, sent_at) end
  if not left and (state ~= ACKED or before == ACKED) then
    return struct.pack(DELIVERY, was, sent, settled) .. string.sub(delivery, 10), false
  end
  return struct.pack(DELIVERY, was - before + state, sent, since(created, at)) .. reason, left
end

local taken = {} -- by devices in this script, by app: `count_taken` of counting_taken.lua

local function note_taken(app, n)
  taken[app] = (taken[app] or 0) + n
end

local MISSED = { [EXPIRED] = 'ge', [COLLAPSED] = 'gc', [DROPPED] = 'gd' }

-- Counts, in the hash of a device, a message that ended without being written to a connection of it: gd dropped,
-- ge expired, gc collapsed, gs since when.
local function note_gap(tag, app, place, state, at)
  local key = tag .. 'd:' .. app .. ':' .. place
  redis.call('HINCRBY', key, MISSED[state], 1)
  redis.call('HSETNX', key, 'gs', string.format('%.0f', at))
end

-- The same for what has left pending in a delivery, unless it was taken back, or only for who was there.
local function note_missed(tag, app, place, delivery, state, reason, at)
  local _, sent = struct.unpack(DELIVERY, delivery)
  if sent > 0 or state == ACKED then return end
  if state ~= DROPPED or reason == INBOX_FULL or reason == TOO_LARGE then note_gap(tag, app, place, state, at) end
end

-- Notes a receipt for one device; true when it has left pending by it.
local function stand(tag, app, place, id, state, reason, at, sent_at)
  local key = ledger_key(tag, app, id)
  local row = redis.call('HGET', key, id)
  if not row then return false end
  local kind, flags, _, _, created = struct.unpack(ROW, row)
  if kind == 'u' then
    local delivery, left = moved(string.sub(row, DELIVERY_AT), created, state, reason, at, sent_at)
    if state == ACKED and string.byte(row, DELIVERY_AT) % CONNECTED ~= ACKED then note_taken(app, 1) end
    redis.call('HSET', key, id, string.sub(row, 1, DELIVERY_AT - 1) .. delivery)
    if left then note_missed(tag, app, place, delivery, state, reason, at) end
    if left and has(flags, KEPT_APART) then redis.call('DEL', tag .. 'm:' .. id) end
    return left
  end
  local old = redis.call('HGET', tag .. 'L:' .. id, place)
  if not old then return false end
  local delivery, left = moved(old, created, state, reason, at, sent_at)
  if state == ACKED and string.byte(old) % CONNECTED ~= ACKED then note_taken(app, 1) end
  redis.call('HSET', tag .. 'L:' .. id, place, delivery)
  if left then
    note_missed(tag, app, place, delivery, state, reason, at)
    local pending = struct.unpack('>I2', row, PENDING_AT) - 1
    redis.call('HSET', key, id, string.sub(row, 1, PENDING_AT - 1) .. struct.pack('>I2', pending))
    if pending == 0 then redis.call('DEL', tag .. 'm:' .. id) end
  end
  return left
end

-- Sets a flag of a row; the row as it is then.
local function flag_row(tag, app, id, row, flag)
  local _, flags = struct.unpack(ROW, row)
  if has(flags, flag) then return row end
  row = string.sub(row, 1, 1) .. string.char(flags + flag) .. string.sub(row, 3)
  redis.call('HSET', ledger_key(tag, app, id), id, row)
  return row
end
