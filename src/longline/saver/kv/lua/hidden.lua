-- Whether an event of the queue of an app is of a device that is gone (`hide_events.lua`): nobody reads it, and it goes in
-- slices.
local function is_hidden(tag, app, member, number)
  local device = string.sub(member, 4, 3 + struct.unpack('>I2', member, 2))
  local hidden = tag .. 'uz:' .. app
  if tonumber(redis.call('HGET', hidden, device) or 0) >= tonumber(number) then return true end
  return string.sub(member, 1, 1) == '2'
    and tonumber(redis.call('HGET', hidden, '\1' .. device) or 0) >= tonumber(number)
end
