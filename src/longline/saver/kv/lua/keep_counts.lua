-- Adds a batch of a partition to what is kept of an app, once. KEYS: tag. ARGV: app, partition, number of the batch, for
-- how many days those of hours are kept, and those of days, then field, count, …
local tag, app, partition, number = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local DAY, DAYS = 86400, 31 -- days in one key
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
if number <= tonumber(redis.call('HGET', tag .. 'sq:' .. app, partition) or 0) then return 0 end

local kept = tag .. 'sk:' .. app

local function add(kind, period, first_day, days_kept, field, n)
  local key, ends = tag .. kind .. app .. ':' .. period, (first_day + days_kept) * DAY
  redis.call('HINCRBY', key, field, n)
  redis.call('EXPIREAT', key, ends)
  redis.call('ZADD', kept, ends, key)
end

for i = 6, #ARGV, 2 do
  local hour, kind = string.match(ARGV[i], '^(%d+)(.)$')
  hour = tonumber(hour)
  local day = math.floor(hour / 24)
  if kind ~= 'A' then add('st:', day, day + 1, ARGV[4], hour .. kind, ARGV[i + 1]) end
  if kind ~= 'a' then
    local part = math.floor(day / DAYS)
    add('sm:', part, (part + 1) * DAYS, ARGV[5], day .. string.lower(kind), ARGV[i + 1])
  end
end
-- Their names go when they do, and with the last of them all that is noted here.
redis.call('ZREMRANGEBYSCORE', kept, '-inf', redis.call('TIME')[1])
local latest = redis.call('ZRANGE', kept, -1, -1, 'WITHSCORES')[2]
if latest then redis.call('EXPIREAT', kept, latest) end
redis.call('HSET', tag .. 'sq:' .. app, partition, ARGV[3])
return 1
