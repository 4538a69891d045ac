-- KEYS: a list, a counter. ARGV: a number, which goes to the end of the list and comes back.
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
return tonumber(ARGV[1])
