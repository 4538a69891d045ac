-- Dead events by their numbers. KEYS: tag. ARGV: app, the number to begin behind, how many, how many bytes of them (but
-- one in any case), 1 for only those that are to be sent once more.
-- Returns {1 when there are more, else 0, number, event, 1 when it is to be sent once more, number, …}.
-- include: webhooks.lua

local tag, app, limit, left = KEYS[1], ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
if is_gone(tag, app) then return { 0 } end
local again = tag .. 'whr:' .. app
local set = ARGV[5] == '1' and again or tag .. 'whd:' .. app
local found = { 0 }
local numbers = redis.call('ZRANGEBYSCORE', set, '(' .. ARGV[2], '+inf', 'LIMIT', 0, limit + 1)
for i, number in ipairs(numbers) do
  local member = redis.call('HGET', tag .. 'whe:' .. app, number)
  left = left - #member
  if i > limit or (i > 1 and left < 0) then
    found[1] = 1
    break
  end
  found[#found + 1] = number
  found[#found + 1] = member
  found[#found + 1] = redis.call('ZSCORE', again, number) and 1 or 0
end
return found
