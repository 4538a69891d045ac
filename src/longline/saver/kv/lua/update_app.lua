-- KEYS: directory, retentions. ARGV: name, stored before, stored afterwards, number, for how long its ledgers are kept
-- (s; 0 for as long as others'). 0 when something else is stored.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored == ARGV[3] then return 1 end -- this call is carried out again
if stored ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[5] == '0' then
  redis.call('HDEL', KEYS[2], ARGV[4])
else
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5] * 1000)
end
return 1
