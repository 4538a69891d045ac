-- Sessions that are kept in one partition. Only reads. KEYS: tag. ARGV: app, where to go on in its names ("0" to begin
-- with), how many.
-- Returns {where to go on, for each device that has a session: {place, number, epoch, node or false, when it ends or
-- false, latest, sent, entries, bytes, {entries, released, bytes, highest place} as counted, 1 when it is among those of
-- its node, when it ends by the index or false, {filters that are not in the index}, {places whose bodies are not
-- there}, 1 when it is noted that it has one}}.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return { '0' } end

local function counted(place, number)
  local entries = redis.call('ZRANGE', part_key(tag, 'mq:', app, place, number), 0, -1, 'WITHSCORES')
  local bytes, highest, lost = 0, 0, {}
  for n = 1, #entries, 2 do
    local options, at, _, size, told = struct.unpack(PLACED, entries[n])
    bytes, highest = bytes + size, math.max(highest, at)
    if has(options, BODY_APART) and redis.call('EXISTS', apart_key(tag, entries[n], told)) == 0 then
      lost[#lost + 1] = at
    end
  end
  local released = redis.call('ZCARD', part_key(tag, 'mr:', app, place, number))
  return { #entries / 2, released, bytes, highest }, lost
end

local function not_indexed(place, number)
  local filters, missing = redis.call('HGETALL', part_key(tag, 'mf:', app, place, number)), {}
  for n = 1, #filters, 2 do
    local entry = index_entry(filters[n], place, number, filters[n + 1])
    if not redis.call('ZSCORE', tag .. 'mx:' .. app, entry) then missing[#missing + 1] = filters[n] end
  end
  return missing
end

local page = redis.call('HSCAN', tag .. 'n:' .. app, ARGV[2], 'COUNT', ARGV[3])
local found = { page[1] }
for n = 1, #page[2], 2 do
  local place = page[2][n + 1]
  local row = redis.call('HMGET', session_key(tag, app, place), 'n', 'e', 'h', 'd', 'l', 's', 'c', 'b')
  if row[1] then
    local member = app .. ':' .. place
    local queue, lost = counted(place, row[1])
    found[#found + 1] = {
      place, row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], queue,
      row[3] and redis.call('SISMEMBER', tag .. 'mn:' .. row[3], member) or 0,
      redis.call('ZSCORE', tag .. 'me', member), not_indexed(place, row[1]), lost,
      redis.call('GETBIT', having_key(tag, app), place),
    }
  end
end
return found
