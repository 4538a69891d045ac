-- A named key with its last use, in the place of one that is exactly this. KEYS: keys. ARGV: id, before, afterwards.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored == ARGV[3] then return 1 end -- this call is carried out again
if stored ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
