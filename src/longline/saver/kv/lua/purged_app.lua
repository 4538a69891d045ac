-- How far the purge of an app has come: partitions below it are done. It never goes back, and ends once.
-- KEYS: purges. ARGV: number, partition, how many partitions there are.
local reached = redis.call('HGET', KEYS[1], ARGV[1])
if not reached or tonumber(reached) >= tonumber(ARGV[2]) then return 0 end
if ARGV[2] == ARGV[3] then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
