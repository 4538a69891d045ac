-- KEYS: tag. ARGV: app. Returns {webhook, dead events, their bytes, how many of them are to be sent once more, how many
-- were dropped}; nil where there is none.
-- include: webhooks.lua

local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return nil end
local body, events, bytes, dropped = unpack(redis.call('HMGET', tag .. 'wh:' .. app, 'b', 'c', 'y', 'd'))
if not body then return nil end
return {
  body,
  tonumber(events or 0),
  tonumber(bytes or 0),
  redis.call('ZCARD', tag .. 'whr:' .. app),
  tonumber(dropped or 0),
}
