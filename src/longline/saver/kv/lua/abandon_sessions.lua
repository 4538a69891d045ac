-- The sessions of a dead node are without a connection, and no word of it will come. KEYS: tag. ARGV: token of this call, how long its answer is
-- kept (ms), node, now, grace (ms), limit. Returns {how many it found, wills forgotten for want of room}.
-- include: kept.lua
-- include: wills.lua
-- include: departing.lua
-- include: repeated.lua

local tag, token, node = KEYS[1], ARGV[1], ARGV[3]
local now, grace = tonumber(ARGV[4]), tonumber(ARGV[5])
local before = earlier(tag, token)
if before then return before end
local members = redis.call('SRANDMEMBER', tag .. 'mn:' .. node, ARGV[6])
local forgotten = 0
for _, member in ipairs(members) do
  local session = find_session(tag, string.match(member, '^(%d+):(%d+)$'))
  if session and session.node == node then
    touch_session(session)
    local ends_at = end_of(session.expires_in, now)
    forgotten = forgotten + arm_wills(tag, member, session.epoch, function(delay)
      return math.max(now + grace, ends_at and math.min(now + delay, ends_at) or now + delay)
    end)
    disconnect(session, session.expires_in, ends_at and math.max(ends_at, now + grace), true)
  else
    redis.call('SREM', tag .. 'mn:' .. node, member)
  end
end
local entries = redis.call('SRANDMEMBER', awaiting_key(tag, node), ARGV[6] - #members)
for _, entry in ipairs(entries) do
  local member, id = string.match(entry, '^(%d+:%d+):(.*)$')
  local packed = redis.call('HGET', tag .. 'mw:' .. member, id)
  if packed then
    local will = cmsgpack.unpack(packed)
    will.id = id
    if will[AWAITS] == node then
      will[DUE], will[AWAITS] = now, ''
      write_will(tag, member, will)
    end
  end
  redis.call('SREM', awaiting_key(tag, node), entry)
end
return keep_answer(tag, token, ARGV[2], { #members + #entries, forgotten })
