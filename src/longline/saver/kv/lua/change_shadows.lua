-- Puts shadows in the places of others. KEYS: tag. ARGV: for each: app, place, version that is to be there, token of
-- this call, and version, wanted, desired and reported as they are to be. Returns for each 1 when it is done, 0 when
-- there is another version, -1 when there is no such device.
-- include: shadows.lua

local tag = KEYS[1]
local codes = {}
for i = 1, #ARGV, 8 do
  local app, place, token = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local key = shadow_key(tag, app, place)
  local row = redis.call('HMGET', key, 'v', 't')
  if not is_registered(tag, app, place) then
    codes[#codes + 1] = -1
  elseif row[2] == token then
    codes[#codes + 1] = 1
  elseif (row[1] or '0') ~= ARGV[i + 2] then
    codes[#codes + 1] = 0
  else
    redis.call('HSET', key, 'v', ARGV[i + 4], 'w', ARGV[i + 5], 'd', ARGV[i + 6], 'r', ARGV[i + 7], 't', token)
    mark_shadow(tag, app, place)
    codes[#codes + 1] = 1
  end
end
return codes
