-- What is kept of an app at its home. KEYS: tag. ARGV: app, st: or sm:, first and last period.
-- Returns {{partition, number of the latest batch of it, …}, {field, count, …}}.
local tag, app, found = KEYS[1], ARGV[1], {}
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { {}, {} } end
for period = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  for _, word in ipairs(redis.call('HGETALL', tag .. ARGV[2] .. app .. ':' .. string.format('%.0f', period))) do
    found[#found + 1] = word
  end
end
return { redis.call('HGETALL', tag .. 'sq:' .. app), found }
