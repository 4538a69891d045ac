-- KEYS: tag. ARGV: app.
if redis.call('SISMEMBER', KEYS[1] .. 'gone', ARGV[1]) == 1 then return 0 end
return redis.call('HLEN', KEYS[1] .. 'n:' .. ARGV[1])
