-- Takes packet identifiers of pushes on. KEYS: tag. ARGV: for each: app, place, number of the session, identifier, position
-- of the push, 1 when it is released and 0 when it is forgotten. Returns an answer for each.
-- include: kept.lua

local tag = KEYS[1]
local answers = {}
for i = 1, #ARGV, 6 do
  local app, place, number, packet_id, position, released = unpack(ARGV, i, i + 5)
  local key = part_key(tag, 'mc:', app, place, number)
  local push = redis.call('HGET', key, packet_id)
  if push and string.match(push, '^%d %d (%d+) ') == position then
    if released == '1' then
      redis.call('HSET', key, packet_id, '1' .. string.sub(push, 2))
    else
      redis.call('HDEL', key, packet_id)
    end
  end
  answers[#answers + 1] = 1
end
return answers
