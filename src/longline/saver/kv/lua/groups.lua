-- Groups in one partition, see kv/groups.py.
-- A membership is a label of kind GROUP in the partition of its device, whose hash has its groups in `g` (msgpack).
-- include: labels.lua

local GROUP = 7 -- a kind, as in saver/labels.py

-- The groups of a device, as a list.
local function groups_of(tag, app, place)
  local packed = redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'g')
  return packed and cmsgpack.unpack(packed) or {}
end

local function keep_groups(tag, app, place, groups)
  local key = tag .. 'd:' .. app .. ':' .. place
  if #groups > 0 then redis.call('HSET', key, 'g', cmsgpack.pack(groups)) else redis.call('HDEL', key, 'g') end
end

-- Takes a group out of those of a device; whether it was there.
local function leave_group(tag, app, place, group)
  local left, was = {}, false
  for _, other in ipairs(groups_of(tag, app, place)) do
    if other == group then was = true else left[#left + 1] = other end
  end
  take_out(label_key(tag, app, GROUP, group), place)
  if was then keep_groups(tag, app, place, left) end
  return was
end

-- A device goes: it is in no group any more.
local function leave_groups(tag, app, place)
  for _, group in ipairs(groups_of(tag, app, place)) do
    take_out(label_key(tag, app, GROUP, group), place)
  end
  redis.call('HDEL', tag .. 'd:' .. app .. ':' .. place, 'g')
end

-- The places of the members of a group, in no order.
local function members_in(tag, app, group)
  local key = label_key(tag, app, GROUP, group)
  local few = members_of(key)
  if few then return few end
  local places, bitmap = {}, redis.call('GET', key) or ''
  for i = 1, #bitmap do
    local byte = string.byte(bitmap, i)
    for low = 0, byte > 0 and 7 or -1 do
      if bit.band(byte, bit.rshift(128, low)) ~= 0 then places[#places + 1] = 8 * (i - 1) + low end
    end
  end
  return places
end
