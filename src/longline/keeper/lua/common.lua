local MEMBERS, BEATS, LEADERS, TERMS, VALUES, STATE = unpack(KEYS, 1, 6)

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether a member is its owner's: a name that another process has taken is not.
local function owns(owner, node)
  local held = redis.call('HGET', MEMBERS, node)
  return held and string.sub(held, 1, #owner + 1) == owner .. ' '
end

-- Takes a member off every list.
local function remove(node)
  redis.call('HDEL', MEMBERS, node)
  redis.call('ZREM', BEATS, node)
  local leaders = redis.call('HGETALL', LEADERS)
  for i = 1, #leaders, 2 do
    if leaders[i + 1] == node then redis.call('HDEL', LEADERS, leaders[i]) end
  end
  redis.call('HINCRBY', STATE, 'changes', 1)
end
