-- Whether too many sessions have filters. KEYS: tag. ARGV: limit, then for each: app, how many filters, filters.
-- Returns for each 1 or 0.
-- include: kept.lua

local tag, limit, answer, i = KEYS[1], tonumber(ARGV[1]), {}, 2
while i <= #ARGV do
  local app, last, sessions = ARGV[i], i + 1 + ARGV[i + 1], 0
  for n = i + 2, last do sessions = sessions + count_having(tag, app, ARGV[n]) end
  answer[#answer + 1] = sessions > limit and 1 or 0
  i = last + 1
end
return answer
