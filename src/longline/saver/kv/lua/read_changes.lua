-- What became of devices, and is not carried on yet. KEYS: tag. ARGV: how many at most.
-- Returns {1 when there are queues with events of devices that are gone, how many there was no place for, {number, app, what, at, name, …}}.
local tag, found = KEYS[1], {}
for _, entry in ipairs(redis.call('XRANGE', tag .. 'dc', '-', '+', 'COUNT', ARGV[1])) do
  local fields = entry[2]
  found[#found + 1] = string.match(entry[1], '^%d+')
  for i = 2, 8, 2 do found[#found + 1] = fields[i] end
end
return { redis.call('EXISTS', tag .. 'uy'), tonumber(redis.call('GET', tag .. 'dl') or 0), found }
