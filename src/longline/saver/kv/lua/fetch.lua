-- What waits for devices, in one snapshot. KEYS: beginning of the keys. ARGV, for each device: app, place,
-- inbox after, log after, limit, now, limit of bytes, how many of high priority before all others.
-- Returns for each: {entries of the inbox as they are, position of the first one left out or 0, {whole
-- messages of the entries whose bodies are apart}, how far the log was read, 1 when that is its end,
-- {position, id, 1 when it was written before, …} from the log, and of high priority: the same of the inbox, its messages
-- apart, and of the log}.
-- include: skipped.lua

local WINDOW = 32768 -- bytes of an inbox read at once
local STEP = 64 -- broadcasts of the log read at once
local tag = KEYS[1]
local gone, rows = {}, {}

local function read_inbox(app, place, after, limit, now, limit_bytes, only)
  local key = tag .. 'i:' .. app .. ':' .. place
  local entries, bodies = {}, {}
  local count, bytes, offset = 0, 0, 0
  local inbox = redis.call('GETRANGE', key, 0, WINDOW - 1)
  local at = skipped(inbox) + 1
  while true do
    -- An entry is at most 65,535 bytes long; its first two say how many.
    local left = #inbox - at + 1
    local size = left > 1 and struct.unpack('>I2', inbox, at) or 2
    if left < size then
      offset = offset + at - 1
      inbox, at = redis.call('GETRANGE', key, offset, offset + math.max(WINDOW, size) - 1), 1
      if #inbox < 2 then break end
      size = struct.unpack('>I2', inbox)
      if #inbox < size then inbox = redis.call('GETRANGE', key, offset, offset + size - 1) end
    end
    local _, flags, position, expires, id = struct.unpack(ENTRY, inbox, at)
    if position > after and expires > now and not has(flags, DEAD) and (not only or has(flags, URGENT)) then
      local body = at + ENTRY_SIZE
      if has(flags, COLLAPSES) then body = body + 2 + struct.unpack('>I2', inbox, body) end
      local length = has(flags, APART) and struct.unpack('>I4', inbox, body) or at + size - ENTRY_END_SIZE - body
      if count == limit or (count > 0 and bytes + length > limit_bytes) then
        return table.concat(entries), position, bodies
      end
      count, bytes = count + 1, bytes + length
      entries[count] = string.sub(inbox, at, at + size - 1)
      if has(flags, APART) then bodies[#bodies + 1] = redis.call('GET', tag .. 'm:' .. id) end
    end
    at = at + size
  end
  return table.concat(entries), 0, bodies
end

-- What of the log is for a device and has high priority, at most so many; and so of its inbox.
local function read_urgent(app, place, inbox_after, log_after, limit, now, limit_bytes)
  local entries, bodies, found = '', {}, {}
  if limit == 0 then return entries, bodies, found end
  local first = string.format('(%.0f', inbox_after)
  local count = redis.call('ZCOUNT', tag .. 'ih:' .. app .. ':' .. place, first, '+inf')
  if count > 0 then
    local _
    entries, _, bodies = read_inbox(app, place, inbox_after, math.min(limit, count), now, limit_bytes, true)
  end
  local log = redis.call('ZRANGEBYSCORE', tag .. 'bh:' .. app, string.format('(%.0f', log_after), '+inf', 'WITHSCORES')
  for n = 1, #log, 2 do
    local id = log[n]
    local row = redis.call('HGET', ledger_key(tag, app, id), id)
    local _, _, _, _, created, ttl = struct.unpack(ROW, row)
    local sets = tag .. 's:' .. id
    local waits = tonumber(place) < struct.unpack('>I4', row, NEXT_AT) and created + ttl > now
    if waits and #found < 3 * limit and redis.call('GETBIT', sets .. ':o', place) == 0 then
      found[#found + 1] = tonumber(log[n + 1])
      found[#found + 1] = id
      found[#found + 1] = redis.call('GETBIT', sets .. ':w', place)
    end
  end
  return entries, bodies, found
end

local function read_log(app, place, after, limit, now)
  local log, read, found = tag .. 'b:' .. app, after, {}
  while true do
    local first = string.format('(%.0f', read)
    local page = redis.call('ZRANGEBYSCORE', log, first, '+inf', 'WITHSCORES', 'LIMIT', 0, STEP)
    for n = 1, #page, 2 do
      local id = page[n]
      if not rows[id] then
        local row = redis.call('HGET', ledger_key(tag, app, id), id)
        local _, _, _, _, created, ttl = struct.unpack(ROW, row)
        rows[id] = { struct.unpack('>I4', row, NEXT_AT), created + ttl }
      end
      local next, ends_at = rows[id][1], rows[id][2]
      if place < next and ends_at > now and redis.call('GETBIT', tag .. 's:' .. id .. ':o', place) == 0 then
        if #found == 3 * limit then return found, read, 0 end
        found[#found + 1] = tonumber(page[n + 1])
        found[#found + 1] = id
        found[#found + 1] = redis.call('GETBIT', tag .. 's:' .. id .. ':w', place)
      end
      read = tonumber(page[n + 1])
    end
    if #page < 2 * STEP then return found, read, 1 end
  end
end

local pages = {}
for i = 1, #ARGV, 8 do
  local app, place, after = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  local limit, now = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  if gone[app] == nil then gone[app] = redis.call('SISMEMBER', tag .. 'gone', app) == 1 end
  if gone[app] then
    pages[#pages + 1] = { '', 0, {}, after, 1, {}, '', {}, {} }
  else
    local inbox_after, limit_bytes = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 6])
    local entries, left_out, bodies = read_inbox(app, place, inbox_after, limit, now, limit_bytes)
    local found, read, ended = read_log(app, tonumber(place), after, limit, now)
    local urgent, urgent_bodies, urgent_log =
      read_urgent(app, place, inbox_after, after, tonumber(ARGV[i + 7]), now, limit_bytes)
    pages[#pages + 1] = { entries, left_out, bodies, read, ended, found, urgent, urgent_bodies, urgent_log }
  end
end
return pages
