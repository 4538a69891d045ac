-- Begins or resumes sessions. KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), then for each: app,
-- place, epoch, now, 1 for a clean start, expiry (s), node, id of its will ("" for none), delay of that (ms), QoS, body.
-- Returns for each false when it does not get the session; else {wills forgotten for want of room, number} and, of one
-- that was there before, {…, first place that waits or 0, sent, latest, {released}, {received}, {filter, options, …},
-- {packet identifier, push, …}}.
-- include: kept.lua
-- include: wills.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before end

local function is_there(app, place)
  return not is_gone(tag, app) and redis.call('HEXISTS', tag .. 'd:' .. app .. ':' .. place, 'c') == 1
end

local function tell(session, forgotten)
  local function key(kind) return part_key(tag, kind, session.app, session.place, session.number) end
  local row = redis.call('HMGET', session.key, 's', 'l')
  return {
    forgotten,
    tonumber(session.number),
    tonumber(redis.call('ZRANGE', key('mq:'), 0, 0, 'WITHSCORES')[2] or 0),
    tonumber(row[1]),
    tonumber(row[2]),
    redis.call('ZRANGE', key('mr:'), 0, -1),
    redis.call('HKEYS', key('mp:')),
    redis.call('HGETALL', key('mf:')),
    redis.call('HGETALL', key('mc:')),
  }
end

local function open(app, place, epoch, now, clean, expires_in, node, will, delay, qos, body)
  if not is_there(app, place) then return false end
  local session, member = find_session(tag, app, place), app .. ':' .. place
  local forgotten, goes_on = 0, false
  local having = having_key(tag, app)
  local earlier_node = session and session.node or ''
  touch(tag, member, having, tag .. 'mn:' .. node, tag .. 'mn:' .. earlier_node, awaiting_key(tag, earlier_node))
  if session then
    if tonumber(epoch) < tonumber(session.epoch) then return false end
    if epoch == session.epoch then return tell(session, 0) end -- asked once more
    goes_on = clean == '0' and session.expires_in ~= '0' and not is_over(session, now)
    forgotten = follow_wills(tag, member, session.epoch, tonumber(now), not goes_on, session.node)
    if goes_on then detach(session) else end_session(session) end
  end
  local key = session_key(tag, app, place)
  if goes_on then
    -- Nobody has told what a connection was sent of whose end nobody has told.
    if session.node or session.given_up then redis.call('HSET', key, 's', redis.call('HGET', key, 'l')) end
    redis.call('HSET', key, 'e', epoch, 'x', expires_in, 'h', node)
    redis.call('HDEL', key, 'd', 'g')
  else
    redis.call('HSET', key, 'n', epoch, 'e', epoch, 'x', expires_in, 'h', node, 'l', 0, 's', 0, 'c', 0, 'b', 0)
  end
  redis.call('SETBIT', having, place, 1)
  redis.call('SADD', tag .. 'mn:' .. node, member)
  if will ~= '' then leave_will(tag, member, will, epoch, delay, qos, body) end
  if goes_on then return tell(session, forgotten) end
  return { forgotten, tonumber(epoch) }
end

local answer = {}
for i = 3, #ARGV, 11 do answer[#answer + 1] = open(unpack(ARGV, i, i + 10)) end
return keep_answer(tag, token, ARGV[2], answer)
