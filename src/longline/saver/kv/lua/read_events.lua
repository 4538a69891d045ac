-- Events of one lane. KEYS: tag. ARGV: app, the number behind which it reads, how many at most, after how many bytes it
-- ends, and a number: where the lane has read all and its last one is lower, it takes this for its last (0: it does not),
-- so that what comes later has a higher one. This is no fact of its own: where a failover forgets it, the lane goes on by
-- the clock (`append_events.lua`), so it does not wait for copies.
-- Returns {last number, that behind which it begins, the highest that went when it was full, 1 when there may be more,
-- the number up to which all is told, {event, number, …}}.
-- include: hidden.lua
local tag, app, limit, most, floor = KEYS[1], ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { 0, 0, 0, 0, tonumber(ARGV[2]), {} } end
local about = tag .. 'ua:' .. app
local some_hidden = redis.call('EXISTS', tag .. 'uz:' .. app) == 1

local after, count, size, ended, answer = ARGV[2], 0, 0, false, {}
while not ended and count < limit and size < most do
  local asked = math.min(32, limit - count) -- some: they may be large
  local found =
    redis.call('ZRANGEBYSCORE', tag .. 'u:' .. app, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, asked)
  ended = #found < 2 * asked
  for i = 1, #found, 2 do
    if size >= most then
      ended = false
      break
    end
    after = found[i + 1]
    if not (some_hidden and is_hidden(tag, app, found[i], after)) then
      answer[#answer + 1] = found[i]
      answer[#answer + 1] = after
      count, size = count + 1, size + #found[i]
    end
  end
end

local last, begun, removed = unpack(redis.call('HMGET', about, 'last', 'begun', 'removed'))
if ended and tonumber(last or 0) < floor then
  if not last then
    begun = ARGV[5]
    redis.call('HSET', about, 'begun', begun, 'bytes', 0)
  end
  last = ARGV[5]
  redis.call('HSET', about, 'last', last)
end
-- Whoever has all goes on behind the last number.
if ended and tonumber(last or 0) > tonumber(after) then after = last end
return {
  tonumber(last or 0), tonumber(begun or 0), tonumber(removed or 0), ended and 0 or 1, tonumber(after), answer,
}
