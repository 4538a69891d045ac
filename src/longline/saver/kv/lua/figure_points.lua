-- Points of one life. KEYS: tag. ARGV: life, kind of points, first and last moment (as ZRANGEBYSCORE takes them).
-- Returns what its points are, then each with its moment.
local answer = redis.call('ZRANGEBYSCORE', KEYS[1] .. ARGV[2] .. ':' .. ARGV[1], ARGV[3], ARGV[4], 'WITHSCORES')
if #answer == 0 then return answer end
table.insert(answer, 1, redis.call('HGET', KEYS[1] .. 'about', ARGV[1]) or '')
return answer
