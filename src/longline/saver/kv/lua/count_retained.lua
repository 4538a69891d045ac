-- What an app has of retained messages in this partition. KEYS: tag. ARGV: app. Returns {messages, bytes}.
-- include: retained.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return { 0, 0 } end
return { redis.call('ZCARD', tag .. 'rt:' .. app), tonumber(redis.call('HGET', tag .. 'rn', app) or 0) }
