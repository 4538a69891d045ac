-- How many places of an app have a session. KEYS: tag. ARGV: app.
return redis.call('BITCOUNT', KEYS[1] .. 'ma:' .. ARGV[1])
