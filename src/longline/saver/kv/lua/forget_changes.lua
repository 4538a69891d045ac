-- These are carried on. KEYS: tag. ARGV: the last number, how many there was no place for, as that was told.
local tag = KEYS[1]
redis.call('XTRIM', tag .. 'dc', 'MINID', string.format('%.0f', ARGV[1] + 1))
if redis.call('XLEN', tag .. 'dc') == 0 then redis.call('DEL', tag .. 'dc') end -- it would stay, without any entries
if tonumber(ARGV[2]) > 0 and redis.call('DECRBY', tag .. 'dl', ARGV[2]) <= 0 then redis.call('DEL', tag .. 'dl') end
return 1
