-- Forgets idempotency keys whose time is over. KEYS: beginning of the keys. ARGV: now, limit, token of this
-- call. Returns how many.
-- include: once.lua

local tag = KEYS[1]
local before = answered(tag, 'sweep', ARGV[3])
if before then return tonumber(before) end
local over = redis.call('ZRANGEBYSCORE', tag .. 'je', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #over == 0 then return 0 end
for _, member in ipairs(over) do redis.call('DEL', tag .. 'j:' .. member) end
redis.call('ZREM', tag .. 'je', unpack(over))
remember(tag, 'sweep', ARGV[3], #over)
return #over
