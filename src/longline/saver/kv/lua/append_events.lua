-- Appends events to the queue of an app, those whose sequence is above the highest of their source.
-- KEYS: tag. ARGV: app, bound of the queue, and for each event: source, sequence, its device when it tells of a state
-- (else empty), event.
--
-- When the queue is full, those events go first for which later ones of their device stand, the oldest of them first.
-- Numbers rise with the server's clock, and faster only while there are more events: so they also rise above those
-- that a store which lost its latest writes had given, and no reader's cursor is ahead of what comes.
local tag, app, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local queue, sources, about = tag .. 'u:' .. app, tag .. 'us:' .. app, tag .. 'ua:' .. app
local standings, past = tag .. 'ul:' .. app, tag .. 'ux:' .. app
local time = redis.call('TIME')
local last = redis.call('HGET', about, 'last')
local number = math.max(tonumber(last or 0), time[1] * 1000000 + time[2])
-- A queue that begins: the cursors of one that an app of this name had before are all behind it.
local removed = not last and string.format('%.0f', number)

for i = 3, #ARGV, 4 do
  local source, sequence, device, event = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local highest = redis.call('HGET', sources, source)
  if not highest or tonumber(sequence) > tonumber(highest) then
    number = number + 1
    local digits = string.format('%.0f', number)
    redis.call('HSET', about, 'last', digits)
    if device ~= '' then
      local before = redis.call('HGET', standings, device)
      if before then redis.call('ZADD', past, before, before) end
      redis.call('HSET', standings, device, digits)
    end
    redis.call('ZADD', queue, digits, struct.pack('>I2', #device) .. device .. event)
    redis.call('HSET', sources, source, sequence)
  end
end

local function note_removed(digits)
  if not removed or tonumber(digits) > tonumber(removed) then removed = digits end
end

local over = redis.call('ZCARD', queue) - limit
if over > 0 then
  local oldest = redis.call('ZRANGE', past, 0, over - 1)
  for _, digits in ipairs(oldest) do
    over = over - redis.call('ZREMRANGEBYSCORE', queue, digits, digits)
    redis.call('ZREM', past, digits)
    note_removed(digits)
  end
end
if over > 0 then
  local oldest = redis.call('ZRANGE', queue, 0, over - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local device = string.sub(oldest[i], 3, 2 + struct.unpack('>I2', oldest[i]))
    if redis.call('HGET', standings, device) == oldest[i + 1] then redis.call('HDEL', standings, device) end
    redis.call('ZREM', past, oldest[i + 1])
    redis.call('ZREM', queue, oldest[i])
    note_removed(oldest[i + 1])
  end
end
if removed then
  local before = redis.call('HGET', about, 'removed')
  if not before or tonumber(removed) > tonumber(before) then redis.call('HSET', about, 'removed', removed) end
end
return 1
