-- Forgets a named key of an app. KEYS: keys, ids of keys of the app, last calls. ARGV: id, token of this call.
-- Returns 0 when the app has none with this id. A call that is carried out again finds its own token.
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
  return redis.call('GET', KEYS[3]) == ARGV[2] and 1 or 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SET', KEYS[3], ARGV[2])
return 1
