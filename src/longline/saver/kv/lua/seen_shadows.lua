-- Notes what devices have acknowledged. KEYS: tag. ARGV: for each: app, place, version.
-- include: shadows.lua

local tag = KEYS[1]
for i = 1, #ARGV, 3 do
  local app, place = ARGV[i], ARGV[i + 1]
  local key = shadow_key(tag, app, place)
  local row = redis.call('HMGET', key, 'v', 's')
  if row[1] and tonumber(ARGV[i + 2]) > tonumber(row[2] or 0) then
    redis.call('HSET', key, 's', ARGV[i + 2])
    mark_shadow(tag, app, place)
  end
end
return 1
