-- Who is there. KEYS: beginning of the keys. ARGV: app, how many expressions, expressions, names.
-- Returns false when the app is deleted; else {how many devices each expression describes, then for each name 1
-- or 0}.
-- include: audiences.lua
local tag, app, last = KEYS[1], ARGV[1], 2 + ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local found = {}
for i = 3, last do
  local places, without = resolve(tag, app, ARGV[i])
  found[#found + 1] = places - without
end
for i = last + 1, #ARGV do found[#found + 1] = redis.call('HEXISTS', tag .. 'n:' .. app, ARGV[i]) end
return found
