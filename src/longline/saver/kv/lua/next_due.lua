-- When `expire` or `sweep` have work, in ms; -1: never. KEYS: beginning of the keys.
local due = redis.call('ZRANGE', KEYS[1] .. 'due', 0, 0, 'WITHSCORES')[2]
local key = redis.call('ZRANGE', KEYS[1] .. 'je', 0, 0, 'WITHSCORES')[2]
if due and key then return math.min(tonumber(due), tonumber(key)) end
return tonumber(due or key or -1)
