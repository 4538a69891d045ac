-- Notes which nodes have a sub-task of a broadcast. KEYS: beginning of the keys. ARGV: app, id, nodes.
-- include: broadcast.lua

local tag, app, id = KEYS[1], ARGV[1], ARGV[2]
local row = redis.call('HGET', ledger_key(tag, app, id), id)
if not row or string.sub(row, 1, 1) ~= 'b' then return end
local flags = string.byte(row, 2)
if has(flags, ENDED) or has(flags, CANCELLED) then return end
local member = app .. ':' .. id
redis.call('ZREM', tag .. 'br', member)
for i = 3, #ARGV do
  if redis.call('HSETNX', tag .. 'k:' .. id, ARGV[i], 0) == 1 then
    redis.call('SADD', tag .. 'kn:' .. ARGV[i], member)
  end
end
