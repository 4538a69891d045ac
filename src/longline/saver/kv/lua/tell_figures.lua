-- Keeps what a process tells about itself. KEYS: tag. ARGV: life, about, sample, fine point, coarse point ("" for none of
-- these), how old (ms) and how many fine points may be, the same of coarse ones, how many lives, how long (ms) the
-- silent are remembered. Returns whether somebody watches, and whether it is known what this life's points are.
--
-- Points begin with the moment at which their process made them, so one that comes again is kept once.
local tag, life = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local exact = string.format('%.0f', time[1] * 1000000 + time[2]) -- so that what comes one after the other stays so
redis.call('HSET', tag .. 'latest', life, string.format('%.0f:', now) .. ARGV[3])

local function before(age) return string.format('%.0f', (now - age) * 1000) end

local function forget(gone)
  redis.call('HDEL', tag .. 'about', gone)
  redis.call('ZREM', tag .. 'lives', gone)
  redis.call('DEL', tag .. 'fine:' .. gone, tag .. 'coarse:' .. gone)
end

local function keep(key, point, age, most)
  if point == '' then return end
  redis.call('ZADD', key, exact, point)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', before(age))
  redis.call('ZREMRANGEBYRANK', key, 0, -(most + 1))
  redis.call('PEXPIRE', key, age)
end

if ARGV[2] ~= '' then redis.call('HSET', tag .. 'about', life, ARGV[2]) end
local known = redis.call('HEXISTS', tag .. 'about', life)
if known == 1 and (ARGV[2] ~= '' or ARGV[4] ~= '' or ARGV[5] ~= '') then
  redis.call('ZADD', tag .. 'lives', exact, life)
  keep(tag .. 'fine:' .. life, ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7]))
  keep(tag .. 'coarse:' .. life, ARGV[5], tonumber(ARGV[8]), tonumber(ARGV[9]))
  local old = redis.call('ZRANGEBYSCORE', tag .. 'lives', '-inf', before(ARGV[8]), 'LIMIT', 0, 100)
  for _, gone in ipairs(old) do forget(gone) end
  local over = redis.call('ZCARD', tag .. 'lives') - ARGV[10]
  if over > 0 then
    for _, gone in ipairs(redis.call('ZRANGE', tag .. 'lives', 0, over - 1)) do forget(gone) end
  end
  local latest = redis.call('HGETALL', tag .. 'latest')
  for i = 1, #latest, 2 do
    if tonumber(string.match(latest[i + 1], '^%d+')) <= now - ARGV[11] then
      redis.call('HDEL', tag .. 'latest', latest[i])
    end
  end
end
return {redis.call('EXISTS', tag .. 'watched'), known}
