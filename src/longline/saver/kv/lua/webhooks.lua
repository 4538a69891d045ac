-- Webhooks and dead events of one partition; kv/webhooks.py says what the keys are.

local function is_gone(tag, app)
  return redis.call('SISMEMBER', tag .. 'gone', app) == 1
end

local function device_of(member)
  return string.sub(member, 3, 2 + struct.unpack('>I2', member))
end

local function count(tag, app, events, bytes)
  local key = tag .. 'wh:' .. app
  redis.call('HINCRBY', key, 'c', events)
  redis.call('HINCRBY', key, 'y', bytes)
end

-- Forgets a dead event; 1, or 0 when there is no such one.
local function forget_dead(tag, app, number)
  local events, devices = tag .. 'whe:' .. app, tag .. 'whn:' .. app
  local member = redis.call('HGET', events, number)
  if not member then return 0 end
  redis.call('HDEL', events, number)
  redis.call('ZREM', tag .. 'whd:' .. app, number)
  redis.call('ZREM', tag .. 'whr:' .. app, number)
  local device = device_of(member)
  if redis.call('HINCRBY', devices, device, -1) < 1 then redis.call('HDEL', devices, device) end
  count(tag, app, -1, -#member)
  return 1
end

local function add_dead(tag, app, number, member)
  redis.call('HSET', tag .. 'whe:' .. app, number, member)
  redis.call('ZADD', tag .. 'whd:' .. app, number, number)
  redis.call('HINCRBY', tag .. 'whn:' .. app, device_of(member), 1)
  count(tag, app, 1, #member)
end

-- Drops what is more than is kept, the lowest numbers first.
local function keep_dead(tag, app, most, most_bytes)
  local key = tag .. 'wh:' .. app
  local length, size = unpack(redis.call('HMGET', key, 'c', 'y'))
  while tonumber(length) > most or (tonumber(size) > most_bytes and tonumber(length) > 0) do
    local oldest = redis.call('ZRANGE', tag .. 'whd:' .. app, 0, 0)[1]
    if not oldest then return end
    redis.call('HINCRBY', key, 'd', forget_dead(tag, app, oldest))
    length, size = unpack(redis.call('HMGET', key, 'c', 'y'))
  end
end
