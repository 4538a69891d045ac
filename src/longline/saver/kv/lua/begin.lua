-- Begins a submission: the point of its acceptance. KEYS: beginning of the keys. ARGV: journal entry, digest,
-- submission, "1" if there is anything to store, now, when its key is forgotten ("0": no key).
-- Returns {-1}: the key was used for another request. {0}: begun by this call, or nothing is to be stored and
-- nothing is remembered of it. {1, results}: it is finished. {2, submission}: another one of this key was begun
-- and is not finished.
local tag, member = KEYS[1], ARGV[1]
local key = tag .. 'j:' .. member
local old = redis.call('HMGET', key, 'd', 's', 'r', 'e')
if old[1] and (old[4] == '0' or tonumber(old[4]) > tonumber(ARGV[5])) then
  if old[1] ~= ARGV[2] then return { -1 } end
  if old[2] == ARGV[3] then return { 0 } end -- this call is carried out again
  if old[3] then return { 1, old[3] } end
  return { 2, old[2] }
end
if ARGV[4] ~= '1' then return { 0 } end
-- One of the same key whose time is over goes with its places in the indexes: a sweep would take this one for it.
redis.call('DEL', key)
redis.call('ZREM', tag .. 'jd', member)
redis.call('ZREM', tag .. 'je', member)
redis.call('HSET', key, 'd', ARGV[2], 's', ARGV[3], 'e', ARGV[6])
redis.call('ZADD', tag .. 'jd', ARGV[5], member)
return { 0 }
