-- Takes messages that are over out of queues, and removes what sessions that are over have left. KEYS: tag. ARGV: token
-- of this call, how long its answer is kept (ms), now, limit. Returns how many it removed.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua
-- include: repeated.lua

local tag, token, limit = KEYS[1], ARGV[1], tonumber(ARGV[4])
local before = earlier(tag, token)
if before then return before[1] end
local done = 0

for _, member in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'mu', '-inf', ARGV[3], 'LIMIT', 0, limit)) do
  local app, place, number, at = string.match(member, '^(%d+):(%d+):(%d+):(%d+)$')
  local size = take_placed(tag, app .. ':' .. place .. ':' .. number, at)
  if size then
    count_less(tag, app, place, number, 1, size)
  else
    redis.call('ZREM', tag .. 'mu', member)
  end
  done = done + 1
end

-- Removes some of what the session with a number has left; how many, less than it might when nothing is left.
local function clear(member, most)
  local app, place, number = string.match(member, '^(%d+):(%d+):(%d+)$')
  local removed = 0
  local filters = redis.call('HRANDFIELD', tag .. 'mf:' .. member, most, 'WITHVALUES')
  for n = 1, #filters, 2 do
    lose_filter(tag, app, filters[n], place, number, filters[n + 1])
    redis.call('HDEL', tag .. 'mf:' .. member, filters[n])
    removed = removed + 1
  end
  local entries = removed < most and redis.call('ZRANGE', tag .. 'mq:' .. member, 0, most - removed - 1, 'WITHSCORES')
  for n = 2, entries and #entries or 0, 2 do
    take_placed(tag, member, entries[n])
    removed = removed + 1
  end
  if removed < most then
    removed = removed + redis.call('ZREMRANGEBYRANK', tag .. 'mr:' .. member, 0, most - removed - 1)
  end
  local identifiers = removed < most and redis.call('HRANDFIELD', tag .. 'mp:' .. member, most - removed) or {}
  for _, identifier in ipairs(identifiers) do redis.call('HDEL', tag .. 'mp:' .. member, identifier) end
  -- Of pushes there are no more than a client may have unanswered.
  return removed + #identifiers + redis.call('DEL', tag .. 'mc:' .. member)
end

while done < limit do
  local member = redis.call('ZRANGE', tag .. 'mo', 0, 0)[1]
  if not member then break end
  local removed = clear(member, limit - done)
  done = done + removed
  if done < limit then
    redis.call('ZREM', tag .. 'mo', member)
    done = done + 1
  end
end
if done > 0 then keep_answer(tag, token, ARGV[2], { done }) end
return done
