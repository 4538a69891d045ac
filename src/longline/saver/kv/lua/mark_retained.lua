-- Notes that an app may have retained messages. KEYS: tag, of the partition that its number says. ARGV: app.
-- include: retained.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return 0 end
return redis.call('SADD', tag .. 'ra', app)
