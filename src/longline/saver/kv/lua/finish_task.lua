-- A node is done with its sub-task of a broadcast. KEYS: beginning of the keys. ARGV: app, id, node.
-- Returns 1 when all are and the broadcast is for who is online only.
-- include: formats.lua

local tag, app, id, node = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row or not redis.call('HGET', tag .. 'k:' .. id, node) then return 0 end
redis.call('HSET', tag .. 'k:' .. id, node, 1)
redis.call('SREM', tag .. 'kn:' .. node, app .. ':' .. id)
for _, done in ipairs(redis.call('HVALS', tag .. 'k:' .. id)) do
  if done ~= '1' then return 0 end
end
return has(string.byte(row, 2), ONLINE_ONLY) and 1 or 0
