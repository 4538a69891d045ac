-- Reads queues. KEYS: tag. ARGV, for each: app, place, number, behind which place, limit, now, limit of bytes.
-- Returns for each {1 when no more is behind it, else 0; entry, its body where that lies apart, or false, …}.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua

local STEP = 64 -- entries read at once
local tag, answer = KEYS[1], {}

local function read(app, place, number, after, limit, now, limit_bytes)
  if is_gone(tag, app) then return { 1 } end
  now, limit, limit_bytes = tonumber(now), tonumber(limit), tonumber(limit_bytes)
  local row = redis.call('HMGET', session_key(tag, app, place), 'n', 'd')
  if row[1] ~= number or row[2] and tonumber(row[2]) <= now then return { 1 } end
  local queue, page, count, bytes = part_key(tag, 'mq:', app, place, number), { 0 }, 0, 0
  local step = math.min(STEP, limit + 1)
  while true do
    local entries = redis.call('ZRANGEBYSCORE', queue, '(' .. after, '+inf', 'LIMIT', 0, step)
    for _, entry in ipairs(entries) do
      local options, at, expires_at, size, told = struct.unpack(PLACED, entry)
      if expires_at == 0 or expires_at > now then
        if count == limit or count > 0 and bytes + size > limit_bytes then return page end
        count, bytes = count + 1, bytes + size
        page[2 * count] = entry
        page[2 * count + 1] = has(options, BODY_APART) and redis.call('HGET', apart_key(tag, entry, told), 'b')
      end
      after = string.format('%.0f', at)
    end
    if #entries < step then
      page[1] = 1
      return page
    end
  end
end

for i = 1, #ARGV, 7 do answer[#answer + 1] = read(unpack(ARGV, i, i + 6)) end
return answer
