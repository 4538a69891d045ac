local owners = {}

-- Whether no other session than the one with this epoch owns the device.
local function owns(tag, app, place, epoch)
  local key = app .. ':' .. place
  if owners[key] == nil then
    local name = redis.call('HGET', tag .. 'd:' .. key, 'n')
    local binding = name and redis.call('HGET', tag .. 'w:' .. app, name)
    owners[key] = binding and string.match(binding, '^%d+') or false
  end
  return not owners[key] or owners[key] == epoch
end
