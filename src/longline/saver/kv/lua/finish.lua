-- Ends a journal entry. KEYS: beginning of the keys. ARGV: journal entry, results ("" when nothing was stored), app, how
-- many messages were accepted, when (ms).
-- An entry with an idempotency key keeps its results; one without, or of which nothing was stored, goes. Its messages
-- are counted by whoever ends it first.
-- include: counting.lua
local tag, member = KEYS[1], ARGV[1]
local key = tag .. 'j:' .. member
local ends_at = redis.call('HGET', key, 'e')
local first = false
if ends_at == '0' or ARGV[2] == '' then
  first = redis.call('DEL', key) == 1
elseif ends_at and redis.call('HSETNX', key, 'r', ARGV[2]) == 1 then
  redis.call('HDEL', key, 's')
  redis.call('ZADD', tag .. 'je', ends_at, member)
  first = true
end
redis.call('ZREM', tag .. 'jd', member)
if first and ARGV[2] ~= '' then count(tag, ARGV[3], ARGV[5], 'm', ARGV[4]) end
return 1
