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

local ones = { [0] = 0 } -- bits that are set in a byte
for byte = 1, 255 do ones[byte] = ones[math.floor(byte / 2)] + byte % 2 end

-- One of each step, any: devices that are connected may follow each other in steps, too. Bytes that have none of those
-- are passed by.
local step, met, names = math.max(1, math.floor(count / limit)), 0, {}
local following = math.random(0, step - 1)
for i = 1, #bitmap do
  local byte = string.byte(bitmap, i)
  if met + ones[byte] > following then
    for low = 0, 7 do
      if bit.band(byte, bit.rshift(128, low)) ~= 0 then
        if met == following then
          names[#names + 1] = redis.call('HGET', tag .. 'd:' .. app .. ':' .. 8 * (i - 1) + low, 'n')
          if #names == limit then return names end
          following = #names * step + math.random(0, step - 1)
        end
        met = met + 1
      end
    end
  else
    met = met + ones[byte]
  end
end
return names
