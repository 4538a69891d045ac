-- The names of groups. KEYS: tag. ARGV: app, name after which to begin, how many.
if redis.call('SISMEMBER', KEYS[1] .. 'gone', ARGV[1]) == 1 then return {} end
local after = ARGV[2] == '' and '-' or '(' .. ARGV[2]
return redis.call('ZRANGEBYLEX', KEYS[1] .. 'gn:' .. ARGV[1], after, '+', 'LIMIT', 0, ARGV[3])
