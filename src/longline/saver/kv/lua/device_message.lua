-- One message for one device. KEYS: beginning of the keys. ARGV: app, place, id.
-- Returns {id, row, its sender's word or false, delivery}; false when it is not there, or not for the device.
-- include: delivered.lua

local tag, app, place, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
local row = redis.call('HGET', ledger_key(tag, app, id), id)
local delivery = row and delivery_of(tag, id, row, place)
return delivery and { id, row, redis.call('HGET', words_key(tag, app, id), id), delivery } or false
