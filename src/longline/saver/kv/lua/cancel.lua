-- Drops what is pending of a message. KEYS: beginning of the keys. ARGV: app, id, reason, now.
-- Returns 1 when the message is there.
-- include: end_row.lua

local tag, app, id, reason, now = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return 0 end
row = flag_row(tag, app, id, row, CANCELLED)
end_row(tag, app, id, row, function() return DROPPED, reason end, now)
close_boxes()
return 1
