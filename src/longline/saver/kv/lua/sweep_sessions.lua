-- Ends sessions whose time is over. KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), now, limit.
-- Returns how many it found.
-- include: kept.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before[1] end
local members = redis.call('ZRANGEBYSCORE', tag .. 'me', '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
for _, member in ipairs(members) do
  local session = find_session(tag, string.match(member, '^(%d+):(%d+)$'))
  if session then end_session(session) else redis.call('ZREM', tag .. 'me', member) end
end
return keep_answer(tag, token, ARGV[2], { #members })[1]
