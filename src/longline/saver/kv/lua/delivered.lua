-- What became of a message for one device.
-- include: broadcast.lua

-- What became of a broadcast, in the form of a delivery without times; nil when the device is none of its audience.
local function of_broadcast(tag, id, row, place)
  if tonumber(place) >= struct.unpack('>I4', row, NEXT_AT) then return nil end
  local function is_in(label)
    return redis.call('GETBIT', set_key(tag, id, label), place) == 1
  end
  local state, reason = nil, ''
  if not is_in('o') then state = PENDING
  elseif is_in('a') then state = ACKED
  elseif is_in('e') then state = EXPIRED
  elseif is_in('c') then state = COLLAPSED
  else
    for _, each in ipairs(redis.call('SMEMBERS', tag .. 'r:' .. id)) do
      if is_in('d' .. each) then state, reason = DROPPED, each end
    end
  end
  return state and struct.pack(DELIVERY, state, 0, 0) .. reason
end

-- A delivery, by the row of its message; nil or false when the message is not for the device.
local function delivery_of(tag, id, row, place)
  local kind = string.sub(row, 1, 1)
  if kind == 'u' then
    local of_this = struct.unpack('>I4', row, PLACE_AT) == tonumber(place)
    return of_this and string.sub(row, DELIVERY_AT)
  end
  if kind == 'm' then return redis.call('HGET', tag .. 'L:' .. id, place) end
  return kind == 'b' and of_broadcast(tag, id, row, place)
end
