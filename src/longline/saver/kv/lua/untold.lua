-- Sessions with a connection to which nothing was written of what has come since. KEYS: tag. ARGV: token of this call,
-- how long its answer is kept (ms), since when (ms), limit, when they are told again (ms).
-- Returns {how many were looked at, app, place, device, binding or "", …}.
-- include: kept.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before end

-- The device of a session that is behind; nil where it is not.
local function is_behind(app, place)
  local session = not is_gone(tag, app) and find_session(tag, app, place)
  if not session or not session.node then return nil end
  local sent = redis.call('HGET', session.key, 's')
  local queue = part_key(tag, 'mq:', app, place, session.number)
  if #redis.call('ZRANGEBYSCORE', queue, '(' .. sent, '+inf', 'LIMIT', 0, 1) == 0 then return nil end
  return redis.call('HGET', tag .. 'd:' .. session.member, 'n') or nil
end

local members = redis.call('ZRANGEBYSCORE', tag .. 'ml', '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
local answer = { #members }
for _, member in ipairs(members) do
  local app, place = string.match(member, '^(%d+):(%d+)$')
  local device = is_behind(app, place)
  if device then
    redis.call('ZADD', tag .. 'ml', ARGV[5], member)
    for _, word in ipairs({ app, place, device, redis.call('HGET', tag .. 'w:' .. app, device) or '' }) do
      answer[#answer + 1] = word
    end
  else
    redis.call('ZREM', tag .. 'ml', member)
  end
end
return keep_answer(tag, token, ARGV[2], answer)
