-- For whom a broadcast is still pending here. KEYS: beginning of the keys. ARGV: app, id.
-- Returns false when it is not open; else {position, how many places, 0, bitmap of those not pending, position of the
-- broadcast before it, {place, position of the unicast before it, …}}.
-- include: broadcast.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row then return false end
local _, flags, _, position = struct.unpack(ROW, row)
if has(flags, ENDED) or has(flags, CANCELLED) then return false end
local bitmap = redis.call('GET', set_key(tag, id, 'o')) or ''
return { position, struct.unpack('>I4', row, NEXT_AT), 0, bitmap, log_before(tag, app, position), met(tag, app, position) }
