-- QoS 2 messages that come from sessions: their packet identifiers are kept, and with each whose queues are elsewhere
-- what is to be done. KEYS: tag. ARGV, for each: app, place, number, epoch, packet identifier, now, id of the message,
-- name, plan ("" when nothing is to be done).
-- Returns for each 0 when it is new; -1 when the app is deleted; -2 when another has the session, or it is over; else
-- {id of the message that has the identifier, its name, its plan where that is not finished, or false}.
-- include: kept.lua

local tag, answer = KEYS[1], {}

local function receive(app, place, number, epoch, packet_id, now, id, name, plan)
  if is_gone(tag, app) then return -1 end
  local session = find_session(tag, app, place)
  if not session or session.number ~= number or session.epoch ~= epoch or is_over(session, now) then return -2 end
  local key = part_key(tag, 'mp:', app, place, number)
  local known = redis.call('HGET', key, packet_id)
  if known then
    local earlier = string.sub(known, 17)
    if earlier == name then return 0 end -- this call is carried out again
    return { string.sub(known, 1, 16), earlier, redis.call('HGET', tag .. 'mj', earlier) }
  end
  if plan ~= '' then
    redis.call('ZADD', tag .. 'mk', now, name)
    redis.call('HSET', tag .. 'mj', name, plan)
  end
  redis.call('HSET', key, packet_id, id .. name)
  return 0
end

for i = 1, #ARGV, 9 do answer[#answer + 1] = receive(unpack(ARGV, i, i + 8)) end
return answer
