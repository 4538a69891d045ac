-- Timers of one partition; kv/schedules.py says what the keys are.

local HEAD, HEAD_SIZE = '>I4I6BB', 12 -- version, due, open, kind; then the body
local OVERHEAD = 200 -- bytes that a timer counts besides its body

local function is_gone(tag, app)
  return redis.call('SISMEMBER', tag .. 'gone', app) == 1
end

local function size_of(packed)
  return OVERHEAD + #packed - HEAD_SIZE
end

-- Notes when the next timer of an app is due.
local function note_due(tag, app)
  local soonest = redis.call('ZRANGE', tag .. 'schd:' .. app, 0, 0, 'WITHSCORES')[2]
  if soonest then redis.call('ZADD', tag .. 'schs', soonest, app) else redis.call('ZREM', tag .. 'schs', app) end
end

local function wait(tag, change)
  if change ~= 0 and redis.call('INCRBY', tag .. 'schw', change) == 0 then redis.call('DEL', tag .. 'schw') end
end

local function count(tag, app, field, change)
  local key = tag .. 'schn:' .. app
  if redis.call('HINCRBY', key, field, change) == 0 then redis.call('HDEL', key, field) end
end

-- Stores a timer, or another in the place of the one that is stored. Whoever calls notes what is due after it.
local function put(tag, app, id, packed, before)
  local _, due, open, kind = struct.unpack(HEAD, packed)
  local was_open = before and select(3, struct.unpack(HEAD, before)) or 0
  redis.call('HSET', tag .. 'sch:' .. app, id, packed)
  if not before then redis.call('ZADD', tag .. 'schl:' .. app .. ':' .. kind, 0, id) end
  if due > 0 then
    wait(tag, redis.call('ZADD', tag .. 'schd:' .. app, due, id))
  else
    wait(tag, -redis.call('ZREM', tag .. 'schd:' .. app, id))
  end
  if open ~= was_open then count(tag, app, kind, open - was_open) end
  count(tag, app, 'b', size_of(packed) - (before and size_of(before) or 0))
end

local function forget(tag, app, id, packed)
  local _, _, open, kind = struct.unpack(HEAD, packed)
  redis.call('HDEL', tag .. 'sch:' .. app, id)
  redis.call('ZREM', tag .. 'schl:' .. app .. ':' .. kind, id)
  wait(tag, -redis.call('ZREM', tag .. 'schd:' .. app, id))
  if open ~= 0 then count(tag, app, kind, -1) end
  count(tag, app, 'b', -size_of(packed))
end
