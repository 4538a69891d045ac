-- Devices were told what they miss. KEYS: beginning of the keys. ARGV, for each: app, place, up to which end of a
-- broadcast, and of what was counted one by one: dropped, expired, collapsed, since ("0": there was nothing).
local tag = KEYS[1]
for i = 1, #ARGV, 7 do
  local key = tag .. 'd:' .. ARGV[i] .. ':' .. ARGV[i + 1]
  local row = redis.call('HMGET', key, 'c', 'gs', 'gt', 'l')
  if row[1] then -- else it is deleted
    local told = math.max(tonumber(row[3] or row[4] or 0), tonumber(ARGV[i + 2]))
    redis.call('HSET', key, 'gt', string.format('%.0f', told))
    -- What has come since is counted from a later time, so that who tells this again changes nothing.
    if row[2] and row[2] == ARGV[i + 6] then
      local left = 0
      for n, field in ipairs({ 'gd', 'ge', 'gc' }) do
        left = left + redis.call('HINCRBY', key, field, 0 - tonumber(ARGV[i + 2 + n]))
      end
      redis.call('HINCRBY', key, 'gs', 1)
      if left == 0 then redis.call('HDEL', key, 'gd', 'ge', 'gc', 'gs') end
    end
  end
end
return 0
