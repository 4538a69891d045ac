-- Forgets the dead events of a device. KEYS: tag. ARGV: app, device.
-- include: webhooks.lua

local tag, app, device = KEYS[1], ARGV[1], ARGV[2]
local left = tonumber(redis.call('HGET', tag .. 'whn:' .. app, device) or 0)
if left == 0 then return 0 end
for _, number in ipairs(redis.call('ZRANGE', tag .. 'whd:' .. app, 0, -1)) do
  if left == 0 then break end
  if device_of(redis.call('HGET', tag .. 'whe:' .. app, number)) == device then
    left = left - forget_dead(tag, app, number)
  end
end
return 1
