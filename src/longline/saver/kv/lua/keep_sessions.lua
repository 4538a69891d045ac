-- Has sessions go on under other names of their nodes. KEYS: tag. ARGV, for each: app, place, number, epoch so far,
-- epoch from now on, node. Returns for each 1, or 0 when another epoch has it, or it is over.
-- include: kept.lua
-- include: wills.lua

local tag, answer = KEYS[1], {}
for i = 1, #ARGV, 6 do
  local app, place, number, before, epoch, node = unpack(ARGV, i, i + 5)
  local session = find_session(tag, app, place)
  local is_its = session and session.number == number and (session.epoch == before or session.epoch == epoch)
  if is_its then
    touch(tag, session.member, tag .. 'mn:' .. node, tag .. 'mn:' .. (session.node or ''))
    detach(session)
    redis.call('HSET', session.key, 'e', epoch, 'h', node)
    redis.call('HDEL', session.key, 'd', 'g')
    redis.call('SADD', tag .. 'mn:' .. node, session.member)
    rename_wills(tag, session.member, before, epoch)
  end
  answer[#answer + 1] = is_its and 1 or 0
end
return answer
