-- The names of groups. KEYS: tag. ARGV: app, name after which to begin, how many.
-- Returns {the last of them when there may be more or false, names}.
-- include: names.lua
if redis.call('SISMEMBER', KEYS[1] .. 'gone', ARGV[1]) == 1 then return { false, {} } end
local after = ARGV[2] == '' and '-' or '(' .. ARGV[2]
return page_of_names(KEYS[1] .. 'gn:' .. ARGV[1], after, '+', ARGV[3])
