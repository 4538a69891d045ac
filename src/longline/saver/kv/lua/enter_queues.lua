-- Messages enter the queues of sessions that have given filters. KEYS: tag. ARGV: token of this call, how long its
-- answer is kept (ms), entries and bytes that a queue may have, how many queues this call may look at, how long it is
-- known what was done of a message with a name (ms), then for each: app, now, QoS, 1 when it is to be retained, expiry,
-- size, sender, place behind which to begin (-1: at the first), how many sessions may have its filters (0: they were
-- counted), name ("" for none), topic, the rest of the message, how many filters, filters, to how many sessions it is given whatever their
-- filters, each of these as "place number options identifier", with its group behind that if it is for one.
-- Returns for each {place up to which it was done, or -1 when it was for all; sessions that did not take it; place,
-- device, binding or false, place in its queue, …}; {-2} when its app is deleted, {-3} when too many sessions have its filters. What is not
-- in the answer was not looked at.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua
-- include: repeated.lua

local INLINE, ALONE = 128, 4096 -- bytes of a body that lies in the entry itself, where it is in several, or in one queue
local FILTERS = 13 -- words of a message before its filters
local ALL = 'all' -- instead of the place up to which a message with a name was done
local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before end
local most, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local left, known_for = tonumber(ARGV[5]), ARGV[6]

-- Who has a filter, as its entry in the index says, or is given a message: place, number, QoS, + 4: no local, + 8:
-- retain as published; and the subscription's identifier, and the group that it is given for.
local function read_interest(text)
  local place, number, options, identifier, group = string.match(text, '^(%d+) (%d+) (%d+) (%d+) ?(.*)$')
  return place, number, tonumber(options), tonumber(identifier), group
end

-- What sessions ask for that are given a message.
local function given_to(first, last)
  local order = {}
  for n = first, last do
    local place, number, options, identifier, group = read_interest(ARGV[n])
    order[#order + 1] = {
      place = place, number = number, qos = options % 4, as_published = has(options, 8),
      identifiers = identifier ~= 0 and { identifier } or {}, group = group,
    }
  end
  return order
end

-- The entries of a filter in the index; of more than `many` no more than tell that they are more (0: all).
local function entries_of(app, filter, many)
  local index, first, behind = tag .. 'mx:' .. app, bounds_of(filter)
  if many == 0 then return redis.call('ZRANGEBYLEX', index, first, behind) end
  return redis.call('ZRANGEBYLEX', index, first, behind, 'LIMIT', 0, many + 1)
end

-- Adds to `order` what the filters of each session ask for together, except those that do not count for the device's
-- own messages; false when they are more than `many`.
local function add_interests(order, app, sender, first, last, many)
  local found, own, cost = {}, nil, 0
  for n = first, last do
    local filter = ARGV[n]
    local entries = entries_of(app, filter, many)
    cost = cost + #entries
    if many > 0 and cost > many then return false end
    for _, entry in ipairs(entries) do
      local place, number, options, identifier = read_interest(string.sub(entry, #filter + 2))
      if has(options, 4) and sender ~= '' and own == nil then
        own = redis.call('HGET', tag .. 'n:' .. app, sender)
      end
      if not (has(options, 4) and place == own) then
        local session = place .. ' ' .. number
        local interest = found[session]
        if not interest then
          interest = { place = place, number = number, qos = 0, as_published = false, identifiers = {} }
          found[session] = interest
          order[#order + 1] = interest
        end
        interest.qos = math.max(interest.qos, options % 4)
        interest.as_published = interest.as_published or has(options, 8)
        if identifier ~= 0 then interest.identifiers[#interest.identifiers + 1] = identifier end
      end
    end
  end
  return true
end

-- The sessions that are looked at in this call, and the place up to which that is all; -1 when it is all.
local function share(order, after)
  if after < 0 and #order <= left then return order, -1 end
  table.sort(order, function(one, other) return tonumber(one.place) < tonumber(other.place) end)
  local some = {}
  for _, interest in ipairs(order) do
    local place = tonumber(interest.place)
    if place > after then
      if #some >= left and place ~= tonumber(some[#some].place) then return some, tonumber(some[#some].place) end
      some[#some + 1] = interest
    end
  end
  return some, -1
end

-- A session's queue that takes a message; nil when there is none, false when it is full. `before`: the same queue, as
-- the same message enters it for another subscription.
local function find_queue(app, interest, now, size, before)
  local member = app .. ':' .. interest.place
  if before then
    local entries, bytes = before.entries + 1, before.bytes + size
    if entries >= most or bytes + size > most_bytes then return false end
    return {
      member = member, session = before.session, interest = interest,
      latest = before.latest + 1, entries = entries, bytes = bytes, connected = before.connected,
    }
  end
  local row = redis.call('HMGET', tag .. 'ms:' .. member, 'n', 'd', 'l', 'c', 'b', 'h')
  if row[1] ~= interest.number or row[2] and tonumber(row[2]) <= now then return nil end
  local entries, bytes = tonumber(row[4]), tonumber(row[5])
  if entries >= most or bytes > 0 and bytes + size > most_bytes then return false end
  return {
    member = member, session = member .. ':' .. interest.number, interest = interest,
    latest = tonumber(row[3]), entries = entries, bytes = bytes, connected = row[6],
  }
end

local function enter(i)
  local app, now, qos, retain = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3] == '1'
  local expires_at, size, after = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), tonumber(ARGV[i + 7])
  local many, name, topic = tonumber(ARGV[i + 8]), ARGV[i + 9], ARGV[i + 10]
  local first, last = i + FILTERS, i + FILTERS - 1 + ARGV[i + FILTERS - 1]
  if is_gone(tag, app) then return { -2 } end
  if name ~= '' then
    local done = redis.call('GET', tag .. 'mz:' .. name)
    if done == ALL then return { -1, 0 } end
    after = math.max(after, tonumber(done or -1))
  end
  local order = given_to(last + 2, last + 1 + ARGV[last + 1])
  if not add_interests(order, app, ARGV[i + 6], first, last, many) then return { -3 } end
  local some, up_to = share(order, after)
  left = left - #some

  local queues, found, answer = {}, {}, { up_to, 0 }
  local number = string.format('%.0f', tonumber(redis.call('GET', tag .. 'mi') or 0) + 1)
  local keys = { tag .. 'mu', tag .. 'ml', tag .. 'mm:' .. number }
  for _, interest in ipairs(some) do
    local given = math.min(qos, interest.qos)
    local session = interest.place .. ' ' .. interest.number
    local queue = given > 0 and find_queue(app, interest, now, size, found[session])
    if queue then
      found[session] = queue
      queue.qos = given
      queue.device = redis.call('HGET', tag .. 'd:' .. queue.member, 'n')
      queues[#queues + 1] = queue
      keys[#keys + 1] = tag .. 'mq:' .. queue.session
      if interest.group and interest.group ~= '' then keys[#keys + 1] = tag .. 'mS:' .. queue.session end
    elseif queue == false and given > 0 then
      answer[2] = answer[2] + 1
    end
  end
  if #queues > 0 then redis.call('EXISTS', unpack(keys)) end -- see `touch`

  local body = struct.pack('>I2', #topic) .. topic .. ARGV[i + 11]
  local apart = #body > ALONE or #queues > 1 and #body > INLINE
  if apart and #queues > 0 then
    redis.call('SET', tag .. 'mi', number)
    redis.call('HSET', tag .. 'mm:' .. number, 'b', body, 'r', #queues)
    body = struct.pack('>I6', number)
  end
  for _, queue in ipairs(queues) do
    local interest, place = queue.interest, queue.latest + 1
    local options = queue.qos + (interest.as_published and retain and RETAIN or 0) + (apart and BODY_APART or 0)
    local group = interest.group or ''
    if group ~= '' then options = options + OF_GROUP end
    table.sort(interest.identifiers)
    local told = {}
    for n, identifier in ipairs(interest.identifiers) do told[n] = struct.pack('>I4', identifier) end
    local head = struct.pack(PLACED, options, place, expires_at, size, #told)
    local digits = string.format('%.0f', place)
    redis.call('ZADD', tag .. 'mq:' .. queue.session, digits, head .. table.concat(told) .. body)
    if group ~= '' then redis.call('HSET', tag .. 'mS:' .. queue.session, digits, group) end
    redis.call(
      'HSET', tag .. 'ms:' .. queue.member, 'l', digits, 'c', queue.entries + 1, 'b', queue.bytes + size
    )
    if queue.connected then redis.call('ZADD', tag .. 'ml', 'NX', ARGV[i + 1], queue.member) end
    if expires_at > 0 then
      redis.call('ZADD', tag .. 'mu', ARGV[i + 4], queue.session .. ':' .. digits)
    end
    answer[#answer + 1] = tonumber(interest.place)
    answer[#answer + 1] = queue.device
    answer[#answer + 1] = queue.device and redis.call('HGET', tag .. 'w:' .. app, queue.device)
    answer[#answer + 1] = digits
  end
  if name ~= '' then
    redis.call('SET', tag .. 'mz:' .. name, up_to < 0 and ALL or string.format('%.0f', up_to), 'PX', known_for)
  end
  return answer
end

local answers, i = {}, 7
while i <= #ARGV and left > 0 do
  local answer = enter(i)
  answers[#answers + 1] = answer
  if answer[1] >= 0 then break end
  local last = i + FILTERS - 1 + ARGV[i + FILTERS - 1]
  i = last + 2 + ARGV[last + 1]
end
return keep_answer(tag, token, ARGV[2], answers)
