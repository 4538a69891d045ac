-- KEYS: directory, names, numbers, last number. ARGV: name, token of this call, app.
-- Stores an app as token .. number .. ":" .. app. Returns its number; 0 when there is one of the name. A call
-- that is carried out again finds its own token.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  if string.sub(stored, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
  return tonumber(string.match(stored, '^%d+', #ARGV[2] + 1))
end
local number = redis.call('INCR', KEYS[4])
redis.call('HSET', KEYS[3], number, ARGV[1])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. number .. ':' .. ARGV[3])
return number
