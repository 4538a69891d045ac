-- Stores an entry of the audit log, in the place of the one with its id. KEYS: tag. ARGV: id, app, entry, how many there
-- may be, how many about one app, how many may go for this one, token of this call. Returns how many went.
-- include: once.lua
-- include: trail.lua
local tag, id, app, most, token = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[6]), ARGV[7]
local before = answered(tag, 'put', token)
if before then return tonumber(before) end
forget(tag, id) -- which app it is about may be known only now
redis.call('HSET', tag .. 'entries', id, app .. ':' .. ARGV[3])
redis.call('ZADD', tag .. 'all', 0, id)
redis.call('ZADD', tag .. 'of:' .. app, 0, id)
local gone = shorten(tag, tag .. 'of:' .. app, tonumber(ARGV[5]), most)
gone = gone + shorten(tag, tag .. 'all', tonumber(ARGV[4]), most)
remember(tag, 'put', token, gone)
return gone
