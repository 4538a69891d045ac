-- Retained messages of one partition; kv/retained.py says what the keys are.

local UNTOLD = 161 -- bytes that a message counts besides its topic and what is stored of it: see publications.py

local function is_gone(tag, app)
  return redis.call('SISMEMBER', tag .. 'gone', app) == 1
end

-- Notes when the next message of an app is over.
local function note_due(tag, app)
  local soonest = redis.call('ZRANGE', tag .. 're:' .. app, 0, 0, 'WITHSCORES')[2]
  if soonest then redis.call('ZADD', tag .. 'rd', soonest, app) else redis.call('ZREM', tag .. 'rd', app) end
end

local function count(tag, app, messages, bytes)
  if messages ~= 0 and redis.call('INCRBY', tag .. 'rm', messages) == 0 then redis.call('DEL', tag .. 'rm') end
  if redis.call('HINCRBY', tag .. 'rn', app, bytes) == 0 then redis.call('HDEL', tag .. 'rn', app) end
end

-- What a topic's message counts in bytes; 0 when it has none.
local function size_at(tag, app, topic)
  local length = redis.call('HSTRLEN', tag .. 'rb:' .. app, topic)
  return length > 0 and UNTOLD + #topic + length or 0
end

local function forget(tag, app, topic, size)
  redis.call('HDEL', tag .. 'rb:' .. app, topic)
  redis.call('ZREM', tag .. 'rt:' .. app, topic)
  redis.call('ZREM', tag .. 're:' .. app, topic)
  count(tag, app, -1, -size)
end
