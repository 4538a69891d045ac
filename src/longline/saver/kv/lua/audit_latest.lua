-- Which events of devices are noted as their latest. Only reads. KEYS: tag. ARGV: app, "ul" or "uf", where to go on
-- ("0" to begin with), how many. Returns {where to go on, for each device: {device, numbers, devices at these}}.
local tag, app, kind = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '0' } end
local DIGITS = 16
local page = redis.call('HSCAN', tag .. kind .. ':' .. app, ARGV[3], 'COUNT', ARGV[4])
local found = { page[1] }
for n = 1, #page[2], 2 do
  local device, digits, told = page[2][n], page[2][n + 1], {}
  for at = 1, #digits, DIGITS do
    local number = string.sub(digits, at, at + DIGITS - 1)
    local member = redis.call('ZRANGEBYSCORE', tag .. 'u:' .. app, number, number)[1]
    told[#told + 1] = member and string.sub(member, 4, 3 + struct.unpack('>I2', member, 2)) or false
  end
  found[#found + 1] = { device, digits, told }
end
return found
