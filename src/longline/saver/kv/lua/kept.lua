-- Sessions that are kept, in one partition: kv/sessions.py says what the keys are.

local function is_gone(tag, app)
  return redis.call('SISMEMBER', tag .. 'gone', app) == 1
end

local function session_key(tag, app, place)
  return tag .. 'ms:' .. app .. ':' .. place
end

-- Of the session with a number: its filters (mf:), queue (mq:), released places (mr:), packet identifiers of its
-- client's (mp:) and of pushes to it (mc:), and which of its queue are for groups (mS:).
local function part_key(tag, kind, app, place, number)
  return tag .. kind .. app .. ':' .. place .. ':' .. number
end

-- Where it stands for each place of an app whether it has a session.
local function having_key(tag, app)
  return tag .. 'ma:' .. app
end

-- The entry of a filter in an app's index.
local function index_entry(filter, place, number, options)
  return filter .. '\0' .. place .. ' ' .. number .. ' ' .. options
end

-- The entries of a filter stand between these texts.
local function bounds_of(filter)
  return '[' .. filter .. '\0', '(' .. filter .. '\1'
end

-- How many sessions have a filter.
local function count_having(tag, app, filter)
  return redis.call('ZLEXCOUNT', tag .. 'mx:' .. app, bounds_of(filter))
end

local function is_had(tag, app, filter)
  return count_having(tag, app, filter) > 0
end

-- Takes a filter out of the index, and notes when nobody here has it any more.
local function lose_filter(tag, app, filter, place, number, options)
  redis.call('ZREM', tag .. 'mx:' .. app, index_entry(filter, place, number, options))
  if not is_had(tag, app, filter) then
    local time = redis.call('TIME')
    redis.call('ZADD', tag .. 'mv', time[1] * 1000 + math.floor(time[2] / 1000), app .. ':' .. filter)
  end
end

-- A device's session; nil when it has none. Numbers are texts, but for the time of its end: nil while it has none.
local function find_session(tag, app, place)
  local key = session_key(tag, app, place)
  local row = redis.call('HMGET', key, 'n', 'e', 'x', 'h', 'd', 'g')
  if not row[1] then return nil end
  return {
    tag = tag, app = app, place = place, key = key, member = app .. ':' .. place,
    number = row[1], epoch = row[2], expires_in = row[3],
    node = row[4] or nil, ends_at = row[5] and tonumber(row[5]) or nil, given_up = row[6] == '1',
  }
end

-- A script that comes upon a key which was just moved to another server is cut short, and carried out again. So whoever
-- changes a session comes upon all that it may write first: then it has done nothing.
local function touch(tag, member, ...)
  redis.call(
    'EXISTS', tag .. 'me', tag .. 'mo', tag .. 'mO', tag .. 'ml', tag .. 'md', tag .. 'mw:' .. member, tag .. 'mb:' .. member, ...
  )
end

local function touch_session(session)
  touch(session.tag, session.member, session.tag .. 'mn:' .. (session.node or ''), having_key(session.tag, session.app))
end

local function is_over(session, now)
  return session.ends_at ~= nil and session.ends_at <= tonumber(now)
end

-- Takes a session out of the indexes of who is connected, who is behind, and who ends when.
local function detach(session)
  if session.node then
    redis.call('SREM', session.tag .. 'mn:' .. session.node, session.member)
    redis.call('ZREM', session.tag .. 'ml', session.member)
  end
  if session.ends_at then redis.call('ZREM', session.tag .. 'me', session.member) end
end

-- Notes what a session that is over leaves behind: what is for groups is handed over first, see `left_queues.lua`, then
-- all goes, see `expire_queues.lua`. `told`: its node has told what was sent.
local function leave(session, told)
  local keys = {}
  if redis.call('EXISTS', part_key(session.tag, 'mS:', session.app, session.place, session.number)) == 1 then
    local known = told or not (session.node or session.given_up)
    local sent = redis.call('HGET', session.key, known and 's' or 'l')
    redis.call('ZADD', session.tag .. 'mO', sent, session.member .. ':' .. session.number)
    return
  end
  for n, kind in ipairs({ 'mf:', 'mq:', 'mr:', 'mp:', 'mc:' }) do
    keys[n] = part_key(session.tag, kind, session.app, session.place, session.number)
  end
  if redis.call('EXISTS', unpack(keys)) > 0 then
    redis.call('ZADD', session.tag .. 'mo', 0, session.member .. ':' .. session.number)
  end
end

local function end_session(session, told)
  detach(session)
  leave(session, told)
  redis.call('SETBIT', having_key(session.tag, session.app), session.place, 0)
  redis.call('DEL', session.key)
end
