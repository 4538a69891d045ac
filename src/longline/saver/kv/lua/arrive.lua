-- Devices that connect; who is new is registered, where that is wanted.
-- KEYS: tag. ARGV: how many messages may wait for a device, and of how many connections of one is told; for each device:
-- app, name, now, 1 to register it, how many messages may wait for it where that is another number, else 0, how it came
-- ("" where that is not to be noted), and what to add to the list of its connections.
-- Returns for each {place, 1 when something may wait, log cursor, banned until, 1 when a session is kept, 1 when its
-- shadow is to be told, up to which end of a broadcast was looked what it misses, that: false or {dropped, expired,
-- collapsed, since, what of it was counted one by one: the same or false}, what it has not acknowledged: false or as in
-- kv/parking.py}, with the place -1 for one that is not registered; false when its app is deleted.
-- include: devices.lua
-- include: formats.lua

local tag = KEYS[1]
local most, entries = tonumber(ARGV[1]), 2 * tonumber(ARGV[2])
local gone, newest, ended, open, shadows = {}, {}, {}, {}, {}
local found = {}

-- Made when they are needed: every call of a script makes its functions anew.
local function make_bound_waiting()
-- include: overflow.lua
  return bound_waiting
end

-- What a device misses. `row`: of its hash, from the third field on.
local function gap_of(app, place, row, told)
  local since = row[6] and tonumber(row[6])
  local dropped, expired, collapsed = tonumber(row[3] or 0), tonumber(row[4] or 0), tonumber(row[5] or 0)
  local noted = since and { dropped, expired, collapsed, since }
  if ended[app] > told then
    local first = string.format('(%.0f', told)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'be:' .. app, first, '+inf')) do
      local sets = tag .. 's:' .. id
      local gone = redis.call('GETBIT', sets .. ':e', place) == 1
      local replaced = not gone and redis.call('GETBIT', sets .. ':c', place) == 1
      if (gone or replaced) and redis.call('GETBIT', sets .. ':w', place) == 0 then
        if gone then expired = expired + 1 else collapsed = collapsed + 1 end
        local row_of = redis.call('HGET', ledger_key(tag, app, id), id)
        local _, _, _, _, created, ttl = struct.unpack(ROW, row_of)
        since = math.min(since or created + ttl, created + ttl)
      end
    end
  end
  if dropped + expired + collapsed == 0 then return false end
  return { dropped, expired, collapsed, since, noted or false }
end

local bound_waiting
for i = 3, #ARGV, 7 do
  local app, name, now, register = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if gone[app] == nil then
    gone[app] = redis.call('SISMEMBER', tag .. 'gone', app) == 1
    ended[app] = tonumber(redis.call('ZREVRANGE', tag .. 'be:' .. app, 0, 0, 'WITHSCORES')[2] or 0)
    open[app] = redis.call('ZCARD', tag .. 'b:' .. app)
    newest[app] = 0
    if open[app] > 0 then
      newest[app] = tonumber(redis.call('ZREVRANGE', tag .. 'b:' .. app, 0, 0, 'WITHSCORES')[2])
    end
    shadows[app] = redis.call('EXISTS', tag .. 'sp:' .. app) == 1
  end
  if gone[app] then
    found[#found + 1] = false
  else
    local place = redis.call('HGET', tag .. 'n:' .. app, name)
    if not place and register == '1' then place = add_device(tag, app, name, now) end
    if not place then
      found[#found + 1] = { -1, 0, '0', '0', 0, 0, 0, false, false }
    else
      local key, inbox = device_key(tag, app, place), tag .. 'i:' .. app .. ':' .. place
      if ARGV[i + 5] ~= '' then
        redis.call('HSET', key, 'v', now .. ' ' .. ARGV[i + 5])
        note_there(tag, app, place, now)
      end
      local list = tag .. 'hc:' .. app .. ':' .. place
      if entries == 0 then
        redis.call('DEL', list) -- from when some were kept
      elseif ARGV[i + 6] ~= '' then
        if redis.call('LINDEX', list, -1) ~= ARGV[i + 6] then -- else this call is carried out again
          if redis.call('RPUSH', list, ARGV[i + 6]) > entries then redis.call('LTRIM', list, -entries, -1) end
          redis.call('PERSIST', list) -- until the connection ends, however long it goes on
        end
      end
      local row = redis.call('HMGET', key, 'l', 'b', 'gd', 'ge', 'gc', 'gs', 'gt', 'ks')
      local length, after = redis.call('STRLEN', inbox), tonumber(row[1] or 0)
      local own = tonumber(ARGV[i + 4])
      if own == 0 then own = most end
      if newest[app] > after and length / (ENTRY_SIZE + ENTRY_END_SIZE) + open[app] > own then
        bound_waiting = bound_waiting or make_bound_waiting()
        bound_waiting(tag, app, tonumber(place), after, tonumber(now), own)
        row = redis.call('HMGET', key, 'l', 'b', 'gd', 'ge', 'gc', 'gs', 'gt', 'ks')
        length = redis.call('STRLEN', inbox)
      end
      local waits = newest[app] > after or length > 0
      local session = redis.call('EXISTS', tag .. 'ms:' .. app .. ':' .. place)
      local shadow = shadows[app] and redis.call('SISMEMBER', tag .. 'sp:' .. app, place) or 0
      local told = tonumber(row[7] or row[1] or 0)
      found[#found + 1] = {
        tonumber(place), waits and 1 or 0, row[1] or '0', row[2] or '0', session, shadow,
        math.max(told, ended[app]), gap_of(app, place, row, told), row[8],
      }
    end
  end
end
return found
