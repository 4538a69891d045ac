-- Forgets a timer. KEYS: tag. ARGV: app, id, token of this call, version (0 for any). Returns 1, or 0 when there is no
-- such one.
-- include: timers.lua
-- include: once.lua

local tag, app, id, version = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4])
if is_gone(tag, app) then return 0 end
if answered(tag, 'remove_timer', ARGV[3]) then return 1 end
local before = redis.call('HGET', tag .. 'sch:' .. app, id)
if not before then return 0 end
local present = struct.unpack(HEAD, before)
if version > 0 and present ~= version then return 0 end
forget(tag, app, id, before)
note_due(tag, app)
remember(tag, 'remove_timer', ARGV[3], '1')
return 1
