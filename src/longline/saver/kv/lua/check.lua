-- Writes something of no meaning. KEYS: beginning of the keys.
redis.call('SET', KEYS[1] .. 'ok', '')
return 1
