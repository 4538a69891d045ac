-- Takes out of a queue what its reader is done with.
-- KEYS: {n}open, {n}q
-- ARGV: the last batch that it is done with, and the commands and bytes of that batch's header
-- include: queue.lua
local state = redis.call('HMGET', KEYS[1], 'read', 'gone_commands', 'gone_bytes')
if not state[1] or tonumber(state[1]) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('XTRIM', KEYS[2], 'MINID', whole(ARGV[1] + 1))
redis.call('HSET', KEYS[1], 'read', ARGV[1],
  'gone_commands', whole(math.max(state[2], ARGV[2])), 'gone_bytes', whole(math.max(state[3], ARGV[3])))
return 1
