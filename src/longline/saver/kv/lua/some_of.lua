-- The names of some whom an expression describes, spread evenly. KEYS: beginning of the keys. ARGV: app, expression,
-- how many. Returns names.
-- include: audiences.lua
local tag, app, limit = KEYS[1], ARGV[1], tonumber(ARGV[3])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return {} end
local places = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
if places == 0 then return {} end
local count
local bitmap = described(tag, app, places, cmsgpack.unpack(ARGV[2]), function(result)
  count = redis.call('BITCOUNT', result)
  return redis.call('GET', result) or ''
end)
local step, met, names = math.max(1, math.floor(count / limit)), 0, {}
for i = 1, #bitmap do
  local byte = string.byte(bitmap, i)
  for low = 0, byte > 0 and 7 or -1 do
    if bit.band(byte, bit.rshift(128, low)) ~= 0 then
      if met % step == 0 and #names < limit then
        names[#names + 1] = redis.call('HGET', tag .. 'd:' .. app .. ':' .. 8 * (i - 1) + low, 'n')
      end
      met = met + 1
    end
  end
end
return names
