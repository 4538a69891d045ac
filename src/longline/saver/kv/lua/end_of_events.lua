-- The end of a lane. KEYS: tag. ARGV: app, and a number, which is its last one from now on where that is lower.
-- Returns its last number. Where there was none yet the lane begins here, as with its first event: whoever reads from
-- here on is told when that is removed unread.
local tag, app, floor = KEYS[1], ARGV[1], ARGV[2]
local about = tag .. 'ua:' .. app
local last = redis.call('HGET', about, 'last')
if last and tonumber(last) >= tonumber(floor) then return last end
local is_gone = redis.call('SISMEMBER', tag .. 'gone', app) == 1
if last then
  last = floor
else
  local time = redis.call('TIME')
  last = string.format('%.0f', math.max(time[1] * 1000000 + time[2], tonumber(floor)))
  if not is_gone then redis.call('HSET', about, 'bytes', 0, 'begun', last) end
end
if not is_gone then redis.call('HSET', about, 'last', last) end
return last
