-- What waits for devices of one partition, with what has to agree with it. Only reads. KEYS: tag.
-- ARGV: app, where to go on in its names ("0" to begin with), how many.
-- Returns {where to go on, for each device: {name, place, {what of a long inbox is counted: entries, bytes} or false,
-- {entries, bytes} as measured, {positions of high priority}, {for each entry: {inbox, flags, position, expires at, id,
-- row or false, delivery of several or false, 1 when its collapse key leads to it, 1 when it is in `unr`,
-- 1 when its body lies apart}}}}.
-- include: inbox.lua

local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '0' } end

local function entries_of(kind, place, told)
  local count, bytes = 0, 0
  local box = open_box(tag, kind, app, place)
  each_entry(box, function(at, flags)
    local _, _, position, expires_at, id = struct.unpack(ENTRY, box.inbox, at)
    local led = 1
    if has(flags, COLLAPSES) and kind == 'i:' then
      led = redis.call('SISMEMBER', tag .. 'c:' .. app .. ':' .. collapse_key_at(box.inbox, at), place)
    end
    local route = string.format('%s:%s:%.0f', app, place, position)
    count, bytes = count + 1, bytes + payload_at(box.inbox, at)
    told[#told + 1] = {
      kind, flags, string.format('%.0f', position), string.format('%.0f', expires_at), id,
      redis.call('HGET', ledger_key(tag, app, id), id), redis.call('HGET', tag .. 'L:' .. id, place),
      led, redis.call('ZSCORE', tag .. 'unr', route) and 1 or 0, redis.call('EXISTS', tag .. 'm:' .. id),
    }
  end)
  return count, bytes
end

-- What is counted of an inbox, and the entries behind that, which nobody has counted yet.
local function counted_of(place)
  local counted = redis.call('HGET', tag .. 'il:' .. app, place)
  if not counted then return false end
  local count, bytes, from = struct.unpack(COUNTED, counted)
  local inbox, at = redis.call('GETRANGE', tag .. 'i:' .. app .. ':' .. place, from, -1), 1
  while at <= #inbox do
    local size, flags = struct.unpack(ENTRY_HEAD, inbox, at)
    if not has(flags, DEAD) then count, bytes = count + 1, bytes + payload_at(inbox, at) end
    at = at + size
  end
  return { count, string.format('%.0f', bytes) }
end

local page = redis.call('HSCAN', tag .. 'n:' .. app, ARGV[2], 'COUNT', ARGV[3])
local found = { page[1] }
for n = 1, #page[2], 2 do
  local name, place, told = page[2][n], page[2][n + 1], {}
  local count, bytes = entries_of('i:', place, told)
  entries_of('o:', place, told)
  found[#found + 1] = {
    name, place, counted_of(place), { count, string.format('%.0f', bytes) },
    redis.call('ZRANGE', tag .. 'ih:' .. app .. ':' .. place, 0, -1), told,
  }
  boxes = {}
end
return found
