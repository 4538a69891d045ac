-- The devices of a message in one partition. KEYS: beginning of the keys. ARGV: app, id.
-- Returns false when it is not there; else {row, place, delivery, name or false, …}.
-- include: formats.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return false end
local kind, found = string.sub(row, 1, 1), { row }

local function add(place, delivery)
  found[#found + 1] = place
  found[#found + 1] = delivery
  found[#found + 1] = redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'n')
end

if kind == 'u' then
  add(string.format('%.0f', struct.unpack('>I4', row, PLACE_AT)), string.sub(row, DELIVERY_AT))
elseif kind == 'm' then
  local deliveries = redis.call('HGETALL', tag .. 'L:' .. id)
  for i = 1, #deliveries, 2 do add(deliveries[i], deliveries[i + 1]) end
end
return found
