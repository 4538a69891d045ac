-- Cursors of the log. KEYS: beginning of the keys. ARGV, for each: app, place, log cursor, epoch ("0":
-- heard in any case), up to which end of a broadcast the device knows what it misses ("0": it does not).
-- include: fence.lua

local tag = KEYS[1]
for i = 1, #ARGV, 5 do
  local app, place, after, epoch = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = tag .. 'd:' .. app .. ':' .. place
  local row = redis.call('HMGET', key, 'c', 'l', 'gt') -- what is kept of a deleted device has no c
  local forward = row[1] and tonumber(after) > tonumber(row[2] or 0)
  if forward and (epoch == '0' or owns(tag, app, place, epoch)) then
    -- Who was told of nothing yet knows what it misses up to where the log was when it was registered.
    local told = math.max(tonumber(row[3] or row[2] or 0), tonumber(ARGV[i + 4]))
    redis.call('HSET', key, 'l', after, 'gt', string.format('%.0f', told))
  end
end
