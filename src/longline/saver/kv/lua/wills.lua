-- Wills of a device by the connections that left them; `member` is "<app>:<place>". kv/sessions.py says what the keys
-- are. A will is {epoch of its connection, delay (ms), when it is due (ms, 0: not yet), 1 when it was given out, QoS, the
-- node whose word of that connection's end it waits for ("" for none)}.

local WILLS = 16 -- that are due: see saver/port/sessions.py
local EPOCH, DELAY, DUE, GIVEN, QOS, AWAITS = 1, 2, 3, 4, 5, 6

local function due_entry(member, id)
  return member .. ':' .. id
end

local function find_wills(tag, member)
  local stored, wills = redis.call('HGETALL', tag .. 'mw:' .. member), {}
  for n = 1, #stored, 2 do
    local will = cmsgpack.unpack(stored[n + 1])
    will.id = stored[n]
    wills[#wills + 1] = will
  end
  return wills
end

-- Where the wills stand that wait for a node's word.
local function awaiting_key(tag, node)
  return tag .. 'my:' .. node
end

local function write_will(tag, member, will)
  local packed = cmsgpack.pack({ will[EPOCH], will[DELAY], will[DUE], will[GIVEN], will[QOS], will[AWAITS] })
  redis.call('HSET', tag .. 'mw:' .. member, will.id, packed)
  if will[DUE] > 0 then
    redis.call('ZADD', tag .. 'md', string.format('%.0f', will[DUE]), due_entry(member, will.id))
  else
    redis.call('ZREM', tag .. 'md', due_entry(member, will.id))
  end
end

local function leave_will(tag, member, id, epoch, delay, qos, body)
  redis.call('HSET', tag .. 'mb:' .. member, id, body)
  write_will(tag, member, { tonumber(epoch), tonumber(delay), 0, 0, tonumber(qos), '', id = id })
end

local function forget_will(tag, member, id)
  redis.call('HDEL', tag .. 'mw:' .. member, id)
  redis.call('HDEL', tag .. 'mb:' .. member, id)
  redis.call('ZREM', tag .. 'md', due_entry(member, id))
end

local function stop_awaiting(tag, member, will)
  if will[AWAITS] ~= '' then redis.call('SREM', awaiting_key(tag, will[AWAITS]), due_entry(member, will.id)) end
  will[AWAITS] = ''
end

local function forget_wills(tag, member)
  for _, will in ipairs(find_wills(tag, member)) do
    stop_awaiting(tag, member, will)
    forget_will(tag, member, will.id)
  end
end

-- Those of a connection that nobody was given yet.
local function wills_of(tag, member, epoch)
  local found = {}
  for _, will in ipairs(find_wills(tag, member)) do
    if will[EPOCH] == tonumber(epoch) and will[GIVEN] == 0 then found[#found + 1] = will end
  end
  return found
end

-- Forgets the oldest of those that are due where there are too many; how many.
local function trim_wills(tag, member)
  local due = {}
  for _, will in ipairs(find_wills(tag, member)) do
    if will[DUE] > 0 or will[AWAITS] ~= '' then due[#due + 1] = will end
  end
  table.sort(due, function(one, other) return one[EPOCH] > other[EPOCH] end)
  for n = WILLS + 1, #due do
    stop_awaiting(tag, member, due[n])
    forget_will(tag, member, due[n].id)
  end
  return math.max(0, #due - WILLS)
end

-- The client of a connection went without a word; `due(delay)` says when its will is. How many others were forgotten.
local function arm_wills(tag, member, epoch, due)
  local wills = wills_of(tag, member, epoch)
  for _, will in ipairs(wills) do
    will[DUE] = due(will[DELAY])
    write_will(tag, member, will)
  end
  return #wills > 0 and trim_wills(tag, member) or 0
end

-- Another connection follows, and the session ends by it or goes on. `node`: that of the one before, where it has not
-- told of the end yet. How many others were forgotten.
local function follow_wills(tag, member, epoch, now, ends, node)
  local armed = false
  for _, will in ipairs(wills_of(tag, member, epoch)) do
    if will[DUE] == 0 or will[DUE] > now then
      if ends or will[DELAY] == 0 then
        armed = true
        if node then
          will[AWAITS] = node
          redis.call('SADD', awaiting_key(tag, node), due_entry(member, will.id))
        else
          will[DUE] = now
        end
        write_will(tag, member, will)
      else
        forget_will(tag, member, will.id)
      end
    end
  end
  return armed and trim_wills(tag, member) or 0
end

-- The client of a connection said that it goes.
local function drop_wills(tag, member, epoch)
  for _, will in ipairs(wills_of(tag, member, epoch)) do forget_will(tag, member, will.id) end
end

-- It is told how a connection has ended that another has followed: what waited for that is due now, or dropped.
local function hear_of_wills(tag, member, epoch, now, published)
  for _, will in ipairs(wills_of(tag, member, epoch)) do
    local awaited = will[AWAITS] ~= ''
    stop_awaiting(tag, member, will)
    if not published then
      forget_will(tag, member, will.id)
    elseif awaited then
      will[DUE] = now
      write_will(tag, member, will)
    end
  end
end

-- A connection is there after all, under another epoch.
local function rename_wills(tag, member, before, epoch)
  for _, will in ipairs(wills_of(tag, member, before)) do
    will[EPOCH], will[DUE] = tonumber(epoch), 0
    write_will(tag, member, will)
  end
end
