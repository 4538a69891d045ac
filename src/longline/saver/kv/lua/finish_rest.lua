-- All nodes are done with an online-only broadcast: it is over where it was not written.
-- KEYS: beginning of the keys. ARGV: app, id, reason.
-- include: broadcast.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if row then settle_rest(tag, id, row, DROPPED, ARGV[3], set_key(tag, id, 'w')) end
