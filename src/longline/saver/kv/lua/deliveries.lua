-- The devices of a message in one partition. KEYS: beginning of the keys. ARGV: app, id, place of a broadcast's at which
-- to begin, how many of these.
-- Returns false when it is not there; else {row, place at which a broadcast goes on or false for nowhere, place,
-- delivery, name or false, …}. It looks at a bounded part of the sets, and may find nobody there.
-- include: broadcast.lua

local SCANNED = 1024 -- bytes of each set that are looked at in one call
local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return false end
local kind, found = string.sub(row, 1, 1), { row, false }

local function add(place, delivery)
  found[#found + 1] = place
  found[#found + 1] = delivery
  found[#found + 1] = redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'n')
end

-- Adds the audience of a broadcast from `first` on, up to `limit`, in the form of deliveries without times; the place at
-- which to go on, nil when that was all.
local function add_audience(first, limit)
  local places, byte = struct.unpack('>I4', row, NEXT_AT), math.floor(first / 8)
  local function part_of(label)
    return redis.call('GETRANGE', set_key(tag, id, label), byte, byte + SCANNED - 1)
  end
  local over = part_of('o')
  local outcomes = {
    { part_of('a'), struct.pack(DELIVERY, ACKED, 0, 0) },
    { part_of('e'), struct.pack(DELIVERY, EXPIRED, 0, 0) },
    { part_of('c'), struct.pack(DELIVERY, COLLAPSED, 0, 0) },
  }
  for _, reason in ipairs(redis.call('SMEMBERS', tag .. 'r:' .. id)) do
    outcomes[#outcomes + 1] = { part_of('d' .. reason), struct.pack(DELIVERY, DROPPED, 0, 0) .. reason }
  end
  local pending, place = struct.pack(DELIVERY, PENDING, 0, 0), first
  local last = math.min(places, 8 * (byte + SCANNED))
  while place < last do
    local at, flag = math.floor(place / 8) - byte + 1, 2 ^ (7 - place % 8)
    local delivery = nil
    if not has(string.byte(over, at) or 0, flag) then
      delivery = pending
    else
      for _, outcome in ipairs(outcomes) do
        if has(string.byte(outcome[1], at) or 0, flag) then
          delivery = outcome[2]
          break
        end
      end
    end
    if delivery then
      if limit == 0 then return place end
      add(string.format('%.0f', place), delivery)
      limit = limit - 1
    end
    place = place + 1
  end
  return place < places and place or nil
end

if kind == 'u' then
  add(string.format('%.0f', struct.unpack('>I4', row, PLACE_AT)), string.sub(row, DELIVERY_AT))
elseif kind == 'm' then
  local deliveries = redis.call('HGETALL', tag .. 'L:' .. id)
  for i = 1, #deliveries, 2 do add(deliveries[i], deliveries[i + 1]) end
elseif kind == 'b' then
  found[2] = add_audience(tonumber(ARGV[3]), tonumber(ARGV[4])) or false
end
return found
