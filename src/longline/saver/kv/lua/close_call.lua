-- KEYS: tag. ARGV: app, id.
return redis.call('DEL', KEYS[1] .. 'cl:' .. ARGV[1] .. ':' .. ARGV[2])
