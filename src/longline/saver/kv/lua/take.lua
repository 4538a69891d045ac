-- Devices took messages that do not wait for them any more: expired, collapsed, cancelled before their receipts came.
-- What still waits is left alone. KEYS: beginning of the keys. ARGV, for each: app, place, id, at, sent at.
-- include: ledger.lua
-- include: broadcast.lua
-- include: counting_taken.lua

local tag = KEYS[1]

local function is_over(delivery)
  return delivery and string.byte(delivery) % CONNECTED ~= PENDING
end

for i = 1, #ARGV, 5 do
  local app, place, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local at, sent_at = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local row = redis.call('HGET', ledger_key(tag, app, id), id)
  local kind = row and string.sub(row, 1, 1)
  if kind == 'b' then
    local over = tonumber(place) < struct.unpack('>I4', row, NEXT_AT)
      and redis.call('GETBIT', set_key(tag, id, 'o'), place) == 1
    if over then note_taken(app, ack_after_all(tag, id, place)) end
  elseif
    kind == 'u' and tonumber(place) == struct.unpack('>I4', row, PLACE_AT) and is_over(string.sub(row, DELIVERY_AT))
    or kind == 'm' and is_over(redis.call('HGET', tag .. 'L:' .. id, place))
  then
    stand(tag, app, place, id, ACKED, '', at, sent_at)
  end
end
count_taken(tag, tonumber(ARGV[4]))
