-- The latest of all processes. KEYS: tag. ARGV: for how long (ms) they are to know that somebody watches, 0: not.
-- Returns the time (ms), then each life and what it told, with the time of that before it.
if ARGV[1] ~= '0' then redis.call('SET', KEYS[1] .. 'watched', '', 'PX', ARGV[1]) end
local time = redis.call('TIME')
local answer = redis.call('HGETALL', KEYS[1] .. 'latest')
table.insert(answer, 1, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return answer
