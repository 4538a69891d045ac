-- What sessions that are over have left of groups. KEYS: tag. ARGV: how many messages. Only reads, but for what leads to
-- nothing, and for sessions that have no such message any more: what else they have left may go.
-- Returns {<app>:<place>:<number>, place in the queue, group, who it is handed to or "", 1 when it may have been written
-- to a connection, entry, its body where that lies apart, or false, …}.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua

local tag, most, answer = KEYS[1], tonumber(ARGV[1]), {}

local function left_by(member, sent)
  local key = tag .. 'mS:' .. member
  local places = redis.call('HRANDFIELD', key, most - #answer / 7, 'WITHVALUES')
  for n = 1, #places, 2 do
    local entry = redis.call('ZRANGEBYSCORE', tag .. 'mq:' .. member, places[n], places[n])[1]
    if entry then
      local group, to = string.match(places[n + 1], '^([^%z]*)%z?(.*)$')
      local options, _, _, _, told = struct.unpack(PLACED, entry)
      answer[#answer + 1] = member
      answer[#answer + 1] = places[n]
      answer[#answer + 1] = group
      answer[#answer + 1] = to
      answer[#answer + 1] = tonumber(places[n]) <= sent and 1 or 0
      answer[#answer + 1] = entry
      answer[#answer + 1] = has(options, BODY_APART) and redis.call('HGET', apart_key(tag, entry, told), 'b')
    else
      redis.call('HDEL', key, places[n])
    end
  end
  return redis.call('EXISTS', key) == 1
end

local members = redis.call('ZRANGE', tag .. 'mO', 0, most - 1, 'WITHSCORES')
for n = 1, #members, 2 do
  if #answer / 7 >= most then break end
  if not left_by(members[n], tonumber(members[n + 1])) then
    redis.call('EXISTS', tag .. 'mO', tag .. 'mo') -- see `touch` in kept.lua
    redis.call('ZADD', tag .. 'mo', 0, members[n])
    redis.call('ZREM', tag .. 'mO', members[n])
  end
end
return answer
