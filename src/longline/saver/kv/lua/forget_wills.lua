-- These wills are published. KEYS: tag. ARGV, for each: app, place, id. Returns for each 1.
-- include: wills.lua

local answer = {}
for i = 1, #ARGV, 3 do
  forget_will(KEYS[1], ARGV[i] .. ':' .. ARGV[i + 1], ARGV[i + 2])
  answer[#answer + 1] = 1
end
return answer
