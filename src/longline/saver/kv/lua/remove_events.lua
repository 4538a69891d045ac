-- Looks at some events, from where the last look has ended, and removes those of devices that are gone.
-- KEYS: tag. ARGV: limit. Returns how many it looked at, 0 when there is nothing to look for.
-- include: hidden.lua
local tag, limit = KEYS[1], ARGV[1]
local app = redis.call('SRANDMEMBER', tag .. 'uy')
if not app then return 0 end
local queue, about, hidden = tag .. 'u:' .. app, tag .. 'ua:' .. app, tag .. 'uz:' .. app
local looked = redis.call('HGET', about, 'looked') or '0'
local found = redis.call('ZRANGEBYSCORE', queue, '(' .. looked, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
if #found == 0 then
  redis.call('SREM', tag .. 'uy', app)
  redis.call('DEL', hidden)
  redis.call('HDEL', about, 'looked')
  return 1
end
local size = 0
for i = 1, #found, 2 do
  local member = found[i]
  if is_hidden(tag, app, member, found[i + 1]) then
    redis.call('ZREM', queue, member)
    size = size + #member
  end
end
if size > 0 then redis.call('HINCRBY', about, 'bytes', -size) end
redis.call('HSET', about, 'looked', found[#found])
return #found / 2
