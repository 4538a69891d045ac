-- A named key, unless its app is deleted. KEYS: numbers, keys. ARGV: id.
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if not stored then return false end
local number = string.match(stored, '^%d+')
if number ~= '0' and redis.call('HEXISTS', KEYS[1], number) == 0 then return false end
return stored
