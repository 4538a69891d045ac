-- Appends events to a lane of the queue of an app, those whose sequence is above the highest of their source.
-- KEYS: tag. ARGV: app, bound of the lane, of its bytes, how many events of a device are the last to go, for how long
-- (ms) fleeting sources are remembered, which lane of how many it is; and for each event: source, sequence, 1 when it
-- tells of a state, 2 when it is the first to go, s<at> or o<at> (ms) when it counts as shown or opened (else 0); its
-- device, event.
--
-- When the lane is full, those events go first for which later ones of their device stand, the oldest of them first.
-- Numbers rise with the server's clock, and faster only while there are more events: so they also rise above those
-- that a store which lost its latest writes had given, and no reader's cursor is ahead of what comes. Those of a lane
-- leave its own number when they are divided by how many lanes there are, so no two lanes give the same.
-- include: counting.lua
local tag, app, limit, limit_bytes = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local queue, sources, about = tag .. 'u:' .. app, tag .. 'us:' .. app, tag .. 'ua:' .. app
local standings, past, latest = tag .. 'ul:' .. app, tag .. 'ux:' .. app, tag .. 'uf:' .. app
local DIGITS = 16 -- of a number
local most_latest = tonumber(ARGV[4]) * DIGITS
local time = redis.call('TIME')
local last, size = unpack(redis.call('HMGET', about, 'last', 'bytes'))
local lane, lanes = tonumber(ARGV[6]), tonumber(ARGV[7])
local above = math.max(tonumber(last or 0), time[1] * 1000000 + time[2]) + 1
local begun = above + (lane - above) % lanes - lanes
local number = begun
size = tonumber(size or 0)
local removed

local highest, told, numbers = {}, {}, {}

local function fleeting(source)
  return string.sub(source, 1, 1) == '~'
end

local function fleeting_key(source)
  return tag .. 'ur:' .. app .. ':' .. source
end

local function is_new(source, sequence)
  if not highest[source] then
    local known
    if fleeting(source) then
      known = redis.call('GET', fleeting_key(source))
    else
      known = redis.call('HGET', sources, source)
    end
    highest[source] = tonumber(known or -1)
  end
  if tonumber(sequence) <= highest[source] then return false end
  highest[source], told[source] = tonumber(sequence), sequence
  return true
end

local counted = {} -- by kind and time

-- Whether a device that this tells of is gone since it was read from where it waited.
local function is_past(device, sequence)
  local ended = redis.call('HGET', tag .. 'uz:' .. app, '\0' .. device)
  return ended and tonumber(sequence) < tonumber(ended)
end

local function append(source, sequence, of_state, device, event)
  if not is_new(source, sequence) then return end
  if of_state == '2' and is_past(device, sequence) then return end
  if #of_state > 1 then
    counted[of_state] = (counted[of_state] or 0) + 1
    of_state = '0'
  end
  number = number + lanes
  local digits = string.format('%.0f', number)
  if of_state == '1' then
    local before = redis.call('HGET', standings, device)
    if before then redis.call('ZADD', past, before, before) end
    redis.call('HSET', standings, device, digits)
  elseif of_state == '2' then
    redis.call('ZADD', past, digits, digits)
  else
    numbers[device] = (numbers[device] or redis.call('HGET', latest, device) or '') .. digits
    if #numbers[device] > most_latest then
      local before = string.sub(numbers[device], 1, DIGITS)
      redis.call('ZADD', past, before, before)
      numbers[device] = string.sub(numbers[device], DIGITS + 1)
    end
  end
  local member = of_state .. struct.pack('>I2', #device) .. device .. event
  redis.call('ZADD', queue, digits, member)
  size = size + #member
end

for i = 8, #ARGV, 5 do append(unpack(ARGV, i, i + 4)) end
if number == begun then return 1 end -- all of it was recorded before
for device, kept in pairs(numbers) do redis.call('HSET', latest, device, kept) end
for source, sequence in pairs(told) do
  if fleeting(source) then
    redis.call('SET', fleeting_key(source), sequence, 'PX', ARGV[5])
  else
    redis.call('HSET', sources, source, sequence)
  end
end

for what, n in pairs(counted) do count(tag, app, string.sub(what, 2), string.sub(what, 1, 1), n) end

local length = redis.call('ZCARD', queue)

local function is_full()
  return length > limit or size > limit_bytes and length > 0
end

local function remove(member, digits)
  redis.call('ZREM', queue, member)
  length, size = length - 1, size - #member
  if not removed or tonumber(digits) > tonumber(removed) then removed = digits end
end

local function forget(member, digits)
  local device = string.sub(member, 4, 3 + struct.unpack('>I2', member, 2))
  if string.sub(member, 1, 1) == '1' then
    if redis.call('HGET', standings, device) == digits then redis.call('HDEL', standings, device) end
    return
  end
  if string.sub(member, 1, 1) == '2' then return end
  local kept = redis.call('HGET', latest, device)
  if not kept or string.sub(kept, 1, DIGITS) ~= digits then return end
  if #kept == DIGITS then
    redis.call('HDEL', latest, device)
  else
    redis.call('HSET', latest, device, string.sub(kept, DIGITS + 1))
  end
end

local SOME = 64
while is_full() do
  local oldest = redis.call('ZRANGE', past, 0, SOME - 1)
  if #oldest == 0 then break end
  for _, digits in ipairs(oldest) do
    if not is_full() then break end
    local member = redis.call('ZRANGEBYSCORE', queue, digits, digits)[1]
    if member then remove(member, digits) end
    redis.call('ZREM', past, digits)
  end
end
while is_full() do
  local oldest = redis.call('ZRANGE', queue, 0, SOME - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    if not is_full() then break end
    forget(oldest[i], oldest[i + 1])
    remove(oldest[i], oldest[i + 1])
  end
end
redis.call('HSET', about, 'last', string.format('%.0f', number), 'bytes', string.format('%.0f', size))
-- The cursors of a queue that an app of this name had before are all behind where this one begins.
if not last then redis.call('HSET', about, 'begun', string.format('%.0f', begun)) end
if removed then
  local before = redis.call('HGET', about, 'removed')
  if not before or tonumber(removed) > tonumber(before) then redis.call('HSET', about, 'removed', removed) end
end
return 1
