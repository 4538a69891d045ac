-- Takes messages in queues on. KEYS: tag. ARGV, for each: app, session's place, number, place of the message, step (0
-- sent, 1 released, 2 settled). Returns for each 1.
-- include: formats.lua
-- include: kept.lua
-- include: queue.lua

local tag, answer = KEYS[1], {}

local function take_on(app, place, number, at, step)
  local key = session_key(tag, app, place)
  local row = redis.call('HMGET', key, 'n', 's', 'l')
  if row[1] ~= number then return end
  if step == '0' then
    if tonumber(at) > tonumber(row[2]) then redis.call('HSET', key, 's', at) end
    if tonumber(at) >= tonumber(row[3]) then redis.call('ZREM', tag .. 'ml', app .. ':' .. place) end
    return
  end
  local size, released = take_placed(tag, app .. ':' .. place .. ':' .. number, at), part_key(tag, 'mr:', app, place, number)
  if step == '1' then
    if size then
      redis.call('ZADD', released, at, at)
      count_less(tag, app, place, number, 0, size)
    end
  elseif size then
    count_less(tag, app, place, number, 1, size)
  elseif redis.call('ZREM', released, at) == 1 then
    count_less(tag, app, place, number, 1, 0)
  end
end

for i = 1, #ARGV, 5 do
  take_on(unpack(ARGV, i, i + 4))
  answer[#answer + 1] = 1
end
return answer
