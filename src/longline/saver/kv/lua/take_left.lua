-- Takes messages of groups out of the queues of sessions that are over. KEYS: tag. ARGV, for each:
-- <app>:<place>:<number>, place in the queue. Returns for each 1, or 0 when it was gone already.
-- include: formats.lua
-- include: queue.lua

local answer = {}
for i = 1, #ARGV, 2 do answer[#answer + 1] = take_placed(KEYS[1], ARGV[i], ARGV[i + 1]) and 1 or 0 end
return answer
