-- Keeps a profile, and forgets all that are older than the first, from the latest on, that does not fit beside it.
-- KEYS: tag. ARGV: id, head, content, how many there may be, how many bytes.
local tag, id = KEYS[1], ARGV[1]
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('HSET', tag .. 'heads', id, ARGV[2])
redis.call('HSET', tag .. 'sizes', id, #ARGV[3])
redis.call('ZADD', tag .. 'all', 0, id)
redis.call('SET', tag .. 'c:' .. id, ARGV[3])
local kept, total, full = 1, #ARGV[3], false
for _, other in ipairs(redis.call('ZREVRANGE', tag .. 'all', 0, -1)) do
  if other ~= id then
    local size = tonumber(redis.call('HGET', tag .. 'sizes', other) or 0)
    full = full or kept >= most or total + size > room
    if full then
      redis.call('HDEL', tag .. 'heads', other)
      redis.call('HDEL', tag .. 'sizes', other)
      redis.call('ZREM', tag .. 'all', other)
      redis.call('DEL', tag .. 'c:' .. other)
    else
      kept, total = kept + 1, total + size
    end
  end
end
return kept
