-- KEYS: tag. ARGV: app, the number behind which it reads, how many at most.
-- Returns {the highest number that went when the queue was full, {event, number, …}}.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '0', {} } end
local found = redis.call('ZRANGEBYSCORE', tag .. 'u:' .. app, '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
return { redis.call('HGET', tag .. 'ua:' .. app, 'removed') or '0', found }
