-- Packet identifiers are free again. KEYS: tag. ARGV, for each: app, place, number, packet identifier.
-- Returns for each 1.
-- include: kept.lua

local answer = {}
for i = 1, #ARGV, 4 do
  redis.call('HDEL', part_key(KEYS[1], 'mp:', ARGV[i], ARGV[i + 1], ARGV[i + 2]), ARGV[i + 3])
  answer[#answer + 1] = 1
end
return answer
