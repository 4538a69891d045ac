-- The audit log, below a tag: `entries` HASH id -> name of the app, ":", entry; `all` ZSET of ids and `of:<app>` ZSET of
-- those about an app, all with score 0: an id is a UUIDv7, so they stand in the order of time.

local function forget(tag, id)
  local stored = redis.call('HGET', tag .. 'entries', id)
  if stored then redis.call('ZREM', tag .. 'of:' .. string.match(stored, '^[^:]*'), id) end
  redis.call('ZREM', tag .. 'all', id)
  redis.call('HDEL', tag .. 'entries', id)
end

-- Forgets the oldest of an index beyond so many, at most `most` of them; how many.
local function shorten(tag, index, limit, most)
  local over = math.min(redis.call('ZCARD', index) - limit, most)
  if over <= 0 then return 0 end
  for _, id in ipairs(redis.call('ZRANGE', index, 0, over - 1)) do forget(tag, id) end
  return over
end
