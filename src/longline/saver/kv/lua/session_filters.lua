-- The filters of a device's session. KEYS: tag. ARGV: app, place, now.
-- Returns {filter, options, …}; false when it has none.
-- include: kept.lua

local tag, app, place = KEYS[1], ARGV[1], ARGV[2]
local session = not is_gone(tag, app) and find_session(tag, app, place)
if not session or is_over(session, ARGV[3]) then return false end
return redis.call('HGETALL', part_key(tag, 'mf:', app, place, session.number))
