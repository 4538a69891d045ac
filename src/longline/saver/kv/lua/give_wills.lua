-- Gives out wills whose time has come. KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), now,
-- limit, when they are given out again (ms). Returns {how many it found, app, place, name, id, body, …}; those of devices
-- that are not there any more are forgotten.
-- include: kept.lua
-- include: wills.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before end
local due = redis.call('ZRANGEBYSCORE', tag .. 'md', '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
local answer = { #due }
for _, entry in ipairs(due) do
  local app, place, id = string.match(entry, '^(%d+):(%d+):(.*)$')
  local member = app .. ':' .. place
  local row = redis.call('HMGET', tag .. 'd:' .. member, 'n', 'c') -- what is kept of a deleted device has no c
  local packed = row[2] and not is_gone(tag, app) and redis.call('HGET', tag .. 'mw:' .. member, id)
  if packed then
    for _, word in ipairs({ app, place, row[1], id, redis.call('HGET', tag .. 'mb:' .. member, id) }) do
      answer[#answer + 1] = word
    end
    local will = cmsgpack.unpack(packed)
    if will[QOS] > 0 then
      will.id, will[DUE], will[GIVEN] = id, tonumber(ARGV[5]), 1
      write_will(tag, member, will)
    else
      forget_will(tag, member, id)
    end
  else
    forget_will(tag, member, id)
  end
end
return keep_answer(tag, token, ARGV[2], answer)
