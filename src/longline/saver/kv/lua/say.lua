-- Gives messages to groups their sequences, each once, and puts them into the history. KEYS: tag. ARGV: now, how many
-- messages a history has, bytes of payload, ms for which it has them, ms for which it has them in any case; for each:
-- app, name of the group, id, bytes of the payload, message. Returns for each {number of the group, sequence}, or false
-- where there is no such group.

local AT_ONCE = 16 -- messages that go when one comes, at most
local KNOWN = 4096 -- of a group, that are known when they come again
local HEAD = '>I6I6' -- of a message in a history: when it was said, and all bytes that had been said before it

local tag, now = KEYS[1], tonumber(ARGV[1])
local most, most_bytes, kept, least = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function trim(history, bytes)
  for _ = 1, AT_ONCE do
    local oldest = redis.call('LINDEX', history, 0)
    if not oldest then return end
    local at, before = struct.unpack(HEAD, oldest)
    local length = redis.call('LLEN', history)
    local over = length > most or (length > 1 and bytes - before > most_bytes) or at <= now - kept
    if not over or at > now - least then return end
    redis.call('LPOP', history)
  end
end

local found = {}
for i = 6, #ARGV, 5 do
  local app, id = ARGV[i], ARGV[i + 2]
  local key = tag .. 'gp:' .. app .. ':' .. ARGV[i + 1]
  local group = redis.call('HMGET', key, 'i', 's', 'u', 'x')
  local number = group[1]
  if not number or group[4] or redis.call('SISMEMBER', tag .. 'gone', app) == 1 then
    found[#found + 1] = false
  else
    local history, ids = tag .. 'gh:' .. app .. ':' .. number, tag .. 'gi:' .. app .. ':' .. number
    redis.call('EXISTS', history, ids) -- who is cut short by one of them has changed none
    local sequence = redis.call('ZSCORE', ids, id)
    if not sequence then
      sequence = tonumber(group[2]) + 1
      local bytes = tonumber(group[3]) + tonumber(ARGV[i + 3])
      redis.call('HSET', key, 's', sequence, 'u', string.format('%.0f', bytes))
      redis.call('ZADD', ids, sequence, id)
      redis.call('ZREMRANGEBYRANK', ids, 0, -KNOWN - 1)
      redis.call('RPUSH', history, struct.pack(HEAD, now, tonumber(group[3])) .. ARGV[i + 4])
      trim(history, bytes)
    end
    found[#found + 1] = { number, tonumber(sequence) }
  end
end
return found
