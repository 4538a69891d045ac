-- Puts a timer in the place of the one of the version before. KEYS: tag. ARGV: app, id, timer. Returns 1, or 0 when
-- there is no such one.
-- include: timers.lua

local tag, app, id, packed = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if is_gone(tag, app) then return 0 end
local before = redis.call('HGET', tag .. 'sch:' .. app, id)
if not before then return 0 end
if before == packed then return 1 end -- this call is carried out again
local version, next_version = struct.unpack(HEAD, before), struct.unpack(HEAD, packed)
if version + 1 ~= next_version then return 0 end
put(tag, app, id, packed, before)
note_due(tag, app)
return 1
