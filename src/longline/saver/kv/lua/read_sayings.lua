-- What was said in a group after a sequence. KEYS: tag. ARGV: app, number of the group, name, after, how many at most.
-- Returns {sequence of the first, messages with their heads, see say.lua, …}; {} where there is none.
local tag, app, number = KEYS[1], ARGV[1], ARGV[2]
local history = tag .. 'gh:' .. app .. ':' .. number
local last = tonumber(redis.call('HGET', tag .. 'gp:' .. app .. ':' .. ARGV[3], 's') or 0)
local first = last - redis.call('LLEN', history) + 1
local from = math.max(0, tonumber(ARGV[4]) + 1 - first)
local found = redis.call('LRANGE', history, from, from + tonumber(ARGV[5]) - 1)
if #found == 0 then return {} end
table.insert(found, 1, first + from)
return found
