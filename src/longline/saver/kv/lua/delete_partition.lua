-- Lets a partition know that an app is deleted. KEYS: tag. ARGV: app.
redis.call('ZADD', KEYS[1] .. 'due', 0, ARGV[1]) -- what it has of messages is removed when time is found
return redis.call('SADD', KEYS[1] .. 'gone', ARGV[1])
