-- Forgets the named keys of an app that is deleted. KEYS: keys, ids of keys of the app.
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('HDEL', KEYS[1], id) end
return redis.call('DEL', KEYS[2])
