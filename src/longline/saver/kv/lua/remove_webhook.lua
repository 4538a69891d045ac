-- Forgets a webhook and its dead events. KEYS: tag. ARGV: app, token of this call. Returns 1, or 0 when there is none.
-- include: webhooks.lua
-- include: once.lua

local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return 0 end
if answered(tag, 'remove_webhook', ARGV[2]) then return 1 end
redis.call('ZREM', tag .. 'whs', app)
for _, kind in ipairs({ 'whe:', 'whd:', 'whr:', 'whn:' }) do
  redis.call('UNLINK', tag .. kind .. app)
end
local removed = redis.call('DEL', tag .. 'wh:' .. app)
if removed == 1 then remember(tag, 'remove_webhook', ARGV[2], '1') end
return removed
