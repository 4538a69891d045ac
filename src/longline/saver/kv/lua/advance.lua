-- Cursors of the log. KEYS: beginning of the keys. ARGV, for each: app, place, log cursor, epoch ("0":
-- heard in any case).
-- include: fence.lua

local tag = KEYS[1]
for i = 1, #ARGV, 4 do
  local app, place, after, epoch = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = tag .. 'd:' .. app .. ':' .. place
  local row = redis.call('HMGET', key, 'c', 'l') -- what is kept of a deleted device has no c
  local forward = row[1] and tonumber(after) > tonumber(row[2] or 0)
  if forward and (epoch == '0' or owns(tag, app, place, epoch)) then redis.call('HSET', key, 'l', after) end
end
