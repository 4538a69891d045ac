-- What a partition has of an app that is not carried to its home. KEYS: tag. ARGV: app, now.
-- Returns {number of the latest batch, that batch, what was counted since, {h or d, period, how many were there, …}}.
-- include: counting.lua
local tag, app, hour = KEYS[1], ARGV[1], math.floor(ARGV[2] / HOUR)
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { 0, {}, {}, {} } end
local there = {}

local function look(span, period)
  local n = redis.call('BITCOUNT', tag .. 'a' .. span .. ':' .. app .. ':' .. string.format('%.0f', period))
  if n > 0 then
    there[#there + 1] = span
    there[#there + 1] = period
    there[#there + 1] = n
  end
end

for period = hour - 48, hour + 1 do look('h', period) end
for period = math.floor(hour / 24) - 2, math.floor(hour / 24) + 1 do look('d', period) end
return {
  tonumber(redis.call('HGET', tag .. 'aq', app) or 0),
  redis.call('HGETALL', tag .. 'ab:' .. app),
  redis.call('HGETALL', tag .. 'ac:' .. app),
  there,
}
