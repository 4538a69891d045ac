-- Ends a group in its home: to begin with it only says that it is being deleted; at the end nothing is left.
-- KEYS: tag. ARGV: app, name, number or "" to begin. Returns its number, false when there is none.
local tag, app, name, number = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local key = tag .. 'gp:' .. app .. ':' .. name
local there = redis.call('HGET', key, 'i')
if not there then return false end
if number == '' then
  redis.call('HSET', key, 'x', 1)
elseif there == number then
  redis.call('DEL', tag .. 'gh:' .. app .. ':' .. number, tag .. 'gi:' .. app .. ':' .. number)
  redis.call('ZREM', tag .. 'gn:' .. app, name)
  redis.call('DEL', key)
end
return there
