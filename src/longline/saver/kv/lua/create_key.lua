-- Stores a named key. KEYS: numbers, keys, ids of keys of its app. ARGV: id, number of the app, key, how many the app may
-- have, now. A stored key is the number of its app, ":", when it is over (0: never), ":", and the key.
-- Returns what kept it from that, "" for nothing.
local id, number, limit, now = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('HEXISTS', KEYS[2], id) == 1 then return '' end -- this call is carried out again
if number ~= '0' and redis.call('HEXISTS', KEYS[1], number) == 0 then return 'app_not_found' end
if redis.call('ZCARD', KEYS[3]) >= limit then
  for _, each in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    local stored = redis.call('HGET', KEYS[2], each)
    local ends_at = stored and tonumber(string.match(stored, '^%d+:(%d+):'))
    if not stored or (ends_at > 0 and ends_at <= now) then
      redis.call('HDEL', KEYS[2], each)
      redis.call('ZREM', KEYS[3], each)
    end
  end
  if redis.call('ZCARD', KEYS[3]) >= limit then return 'quota_exceeded' end
end
redis.call('HSET', KEYS[2], id, ARGV[3])
redis.call('ZADD', KEYS[3], 0, id)
return ''
