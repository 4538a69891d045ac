-- Gives a node a queue, unless it has one.
-- KEYS: {n}open, {n}q, {n}shut
-- ARGV: 1 to open it even if it was shut
-- Answers: when the queue was opened, read and last; zeros when it was shut.
-- include: queue.lua
local state = redis.call('HMGET', KEYS[1], 'opened', 'read', 'last')
if state[1] then
  return { tonumber(state[1]), tonumber(state[2]), tonumber(state[3]) }
end
if redis.call('EXISTS', KEYS[3]) == 1 and ARGV[1] ~= '1' then
  return { 0, 0, 0 }
end
local first = clock()
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'opened', whole(first), 'last', whole(first), 'commands', 0, 'bytes', 0,
  'read', whole(first), 'gone_commands', 0, 'gone_bytes', 0)
return { first, first, first }
