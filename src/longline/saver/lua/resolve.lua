-- Who is there. KEYS: beginning of the keys. ARGV: app, names.
-- Returns false when the app is deleted; else {how many devices, then for each name 1 or 0}.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local found = { redis.call('HLEN', tag .. 'n:' .. app) }
for i = 2, #ARGV do found[i] = redis.call('HEXISTS', tag .. 'n:' .. app, ARGV[i]) end
return found
