-- KEYS: tag. ARGV: app, the first id as XRANGE takes it, how many at most.
if redis.call('SISMEMBER', KEYS[1] .. 'gone', ARGV[1]) == 1 then return {} end
return redis.call('XRANGE', KEYS[1] .. 'u:' .. ARGV[1], ARGV[2], '+', 'COUNT', ARGV[3])
