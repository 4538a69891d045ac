-- Notes that dead events are to be sent once more. KEYS: tag. ARGV: app, 1 for all of them, else 0 and their numbers.
-- Returns for how many that holds.
-- include: webhooks.lua

local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return 0 end
local dead, again = tag .. 'whd:' .. app, tag .. 'whr:' .. app
if ARGV[2] == '1' then return redis.call('ZUNIONSTORE', again, 1, dead) end
local marked = 0
for i = 3, #ARGV do
  if redis.call('ZSCORE', dead, ARGV[i]) then
    redis.call('ZADD', again, ARGV[i], ARGV[i])
    marked = marked + 1
  end
end
return marked
