-- KEYS: tag. ARGV: for each: app, id. Returns for each {answer, when}, or false while there is none.
local found = {}
for i = 1, #ARGV, 2 do
  local row = redis.call('HMGET', KEYS[1] .. 'cl:' .. ARGV[i] .. ':' .. ARGV[i + 1], 'p', 'a')
  found[#found + 1] = row[1] and row or false
end
return found
