-- Names of devices that begin with a text, in the order of their bytes.
-- KEYS: tag. ARGV: app, prefix, name after which to begin ("" for the first), how many.
-- Returns {the last of them when there may be more or false, names}.
-- include: names.lua
local tag, app, prefix = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { false, {} } end
local from = ARGV[3] == '' and '[' .. prefix or '(' .. ARGV[3]
return page_of_names(tag .. 'ns:' .. app, from, '(' .. prefix .. '\255', ARGV[4])
