-- Takes a node's queue away.
-- KEYS: {n}open, {n}q, {n}shut
-- ARGV: for how long its reader is told (s)
redis.call('SET', KEYS[3], 1, 'EX', ARGV[1])
return redis.call('DEL', KEYS[1], KEYS[2])
