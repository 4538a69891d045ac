-- Entries of queues; kv/queues.py says what they are. `formats.lua` has `has`.

local PLACED, PLACED_SIZE = '>BI6I6I4I2', 19 -- options, place, expiry, size, how many identifiers
local RETAIN, BODY_APART, OF_GROUP = 4, 8, 16 -- in the options of an entry, beside its QoS

local function apart_key(tag, entry, told)
  return string.format('%smm:%.0f', tag, struct.unpack('>I6', entry, PLACED_SIZE + 4 * told + 1))
end

-- Takes what is at a place out of a queue; how many bytes it counted, nil when there is nothing. `member` is what the
-- key of the queue ends with.
local function take_placed(tag, member, place)
  local queue = tag .. 'mq:' .. member
  local entry = redis.call('ZRANGEBYSCORE', queue, place, place)[1]
  if not entry then return nil end
  local options, _, expires_at, size, told = struct.unpack(PLACED, entry)
  local key = has(options, BODY_APART) and apart_key(tag, entry, told)
  local session = string.match(member, '^%d+:%d+')
  local groups = tag .. 'mS:' .. member
  redis.call('EXISTS', tag .. 'mu', tag .. 'ms:' .. session, tag .. 'mr:' .. member, groups, key or queue) -- see `touch`
  if key then
    if redis.call('HINCRBY', key, 'r', -1) <= 0 then redis.call('DEL', key) end
  end
  if has(options, OF_GROUP) then redis.call('HDEL', groups, place) end
  if expires_at > 0 then redis.call('ZREM', tag .. 'mu', member .. ':' .. place) end
  redis.call('ZREMRANGEBYSCORE', queue, place, place)
  return size
end

-- Notes that a session's queue has less, unless the session has another number by now.
local function count_less(tag, app, place, number, entries, bytes)
  local key = tag .. 'ms:' .. app .. ':' .. place
  if redis.call('HGET', key, 'n') == number then
    if entries > 0 then redis.call('HINCRBY', key, 'c', -entries) end
    if bytes > 0 then redis.call('HINCRBY', key, 'b', -bytes) end
  end
end
