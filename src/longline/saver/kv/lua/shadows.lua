-- Shadows of the devices of one partition, see kv/shadows.py.

local function shadow_key(tag, app, place)
  return tag .. 'sd:' .. app .. ':' .. place
end

local function is_registered(tag, app, place)
  return redis.call('SISMEMBER', tag .. 'gone', app) == 0
    and redis.call('HEXISTS', tag .. 'd:' .. app .. ':' .. place, 'c') == 1
end

-- Whether a device is to be told what is desired, by what its shadow has now.
local function mark_shadow(tag, app, place)
  local row = redis.call('HMGET', shadow_key(tag, app, place), 'w', 's')
  local unseen = tonumber(row[1] or 0) > tonumber(row[2] or 0)
  redis.call(unseen and 'SADD' or 'SREM', tag .. 'sp:' .. app, place)
end
