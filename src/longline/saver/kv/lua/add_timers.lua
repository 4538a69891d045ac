-- Stores timers of an app, all or none. KEYS: tag. ARGV: app, now, the most messages, schedules and bytes that it may
-- have, token of this call, idempotency key ("" for none), digest, for how long the key is remembered (ms); then for
-- each timer: id, timer.
-- Returns {what became of it, ids of the request that had this key before}.
-- include: timers.lua

local ID = 16
local tag, app, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
local most = { [0] = tonumber(ARGV[3]), [1] = tonumber(ARGV[4]) }
local most_bytes, token, name, digest, ttl = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
if is_gone(tag, app) then return { 'app_not_found' } end

local key = tag .. 'schk:' .. app .. ':' .. name
local known = name ~= '' and redis.call('GET', key)
if known then -- when it ends, token, length of the digest, digest, ids
  local ends_at, before, length = struct.unpack('>I6c8I2', known)
  local at = 6 + 8 + 2
  if ends_at > now and before ~= token then
    if string.sub(known, at + 1, at + length) ~= digest then return { 'conflict' } end
    local ids = {}
    for i = at + length + 1, #known, ID do
      ids[#ids + 1] = string.sub(known, i, i + ID - 1)
    end
    return { 'replayed', ids }
  end
end

local new, bytes = { [0] = 0, [1] = 0 }, 0
local fresh = {}
for i = 10, #ARGV, 2 do
  local id, packed = ARGV[i], ARGV[i + 1]
  if redis.call('HEXISTS', tag .. 'sch:' .. app, id) == 0 then -- else this call is carried out again
    local _, _, open, kind = struct.unpack(HEAD, packed)
    new[kind] = new[kind] + open
    bytes = bytes + size_of(packed)
    fresh[#fresh + 1] = i
  end
end
local held = tag .. 'schn:' .. app
for kind = 0, 1 do
  if new[kind] > 0 and tonumber(redis.call('HGET', held, kind) or 0) + new[kind] > most[kind] then
    return { 'quota_exceeded' }
  end
end
if bytes > 0 and tonumber(redis.call('HGET', held, 'b') or 0) + bytes > most_bytes then
  return { 'quota_exceeded' }
end

for _, i in ipairs(fresh) do
  put(tag, app, ARGV[i], ARGV[i + 1])
end
note_due(tag, app)
if name ~= '' then
  local parts = { struct.pack('>I6c8I2', now + ttl, token, #digest), digest }
  for i = 10, #ARGV, 2 do
    parts[#parts + 1] = ARGV[i]
  end
  redis.call('SET', key, table.concat(parts), 'PX', ttl)
end
return { 'added' }
