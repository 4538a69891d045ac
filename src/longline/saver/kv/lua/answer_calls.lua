-- KEYS: tag. ARGV: for each: app, id, ordinal of the device, what it answers, when (ms). Returns for each 1 when that is
-- the answer now.
local codes = {}
for i = 1, #ARGV, 5 do
  local key = KEYS[1] .. 'cl:' .. ARGV[i] .. ':' .. ARGV[i + 1]
  local row = redis.call('HMGET', key, 'o', 'p')
  if row[1] ~= ARGV[i + 2] then
    codes[#codes + 1] = 0
  elseif row[2] then
    codes[#codes + 1] = row[2] == ARGV[i + 3] and 1 or 0
  else
    redis.call('HSET', key, 'p', ARGV[i + 3], 'a', ARGV[i + 4])
    codes[#codes + 1] = 1
  end
end
return codes
