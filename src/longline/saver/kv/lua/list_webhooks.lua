-- The webhooks of this partition. KEYS: tag. ARGV: the app to begin behind, how many.
-- Returns app, version, how many dead events are to be sent once more, app, …
-- include: webhooks.lua

local tag, found = KEYS[1], {}
for _, app in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'whs', '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])) do
  local version = redis.call('HGET', tag .. 'wh:' .. app, 'v')
  if not version or is_gone(tag, app) then
    redis.call('ZREM', tag .. 'whs', app)
  else
    found[#found + 1] = tonumber(app)
    found[#found + 1] = tonumber(version)
    found[#found + 1] = redis.call('ZCARD', tag .. 'whr:' .. app)
  end
end
return found
