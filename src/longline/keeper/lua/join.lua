-- Makes a node a member, or replaces what is known of it.
-- ARGV: owner, session timeout in ms, member, its JSON, 1 when it joins for the first time
-- Answers: 1 done, 0 it is no member any more, -1 it is another's
-- include: common.lua

local owner, node, data = ARGV[1], ARGV[3], ARGV[1] .. ' ' .. ARGV[4]
local held = redis.call('HGET', MEMBERS, node)
if held and not owns(owner, node) then return -1 end
if not held and ARGV[5] ~= '1' then return 0 end
if held ~= data then
  redis.call('HSET', MEMBERS, node, data)
  redis.call('HINCRBY', STATE, 'changes', 1)
end
redis.call('ZADD', BEATS, clock() + ARGV[2], node)
return 1
