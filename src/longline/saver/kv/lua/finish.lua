-- Ends a journal entry. KEYS: beginning of the keys. ARGV: journal entry, results ("" when nothing was stored).
-- An entry with an idempotency key keeps its results; one without, or of which nothing was stored, goes.
local tag, member = KEYS[1], ARGV[1]
local key = tag .. 'j:' .. member
local ends_at = redis.call('HGET', key, 'e')
if ends_at == '0' or ARGV[2] == '' then
  redis.call('DEL', key)
elseif ends_at and redis.call('HSETNX', key, 'r', ARGV[2]) == 1 then
  redis.call('HDEL', key, 's')
  redis.call('ZADD', tag .. 'je', ends_at, member)
end
redis.call('ZREM', tag .. 'jd', member)
