-- Devices are gone: what was told of them is not read any more, and goes in slices (`remove_events.lua`).
-- KEYS: tag. ARGV: app; for each: device, number of the event of that. What came after it is a later device's.
-- `uz` has three numbers for a device: by its name that up to which events of it are hidden; by "\0" and its name that of
-- the event that tells of its end, for who brings its beginning only now (`append_events.lua`); by "\1" and its name that
-- up to which events of what became of it are hidden, for who brought its beginning after its end and before this: a later
-- device's beginning comes behind this.
local tag, app = KEYS[1], ARGV[1]
local about, hidden = tag .. 'ua:' .. app, tag .. 'uz:' .. app
local standings, latest = tag .. 'ul:' .. app, tag .. 'uf:' .. app
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local last = tonumber(redis.call('HGET', about, 'last') or 0)
local DIGITS = 16 -- of a number
for i = 2, #ARGV, 2 do
  local device, number = ARGV[i], math.min(last, tonumber(ARGV[i + 1]))
  local ended = '\0' .. device
  if tonumber(ARGV[i + 1]) > tonumber(redis.call('HGET', hidden, ended) or 0) then
    redis.call('HSET', hidden, ended, ARGV[i + 1], '\1' .. device, string.format('%.0f', last))
    redis.call('SADD', tag .. 'uy', app)
    if last > 0 then redis.call('HSET', about, 'looked', 0) end
  end
  if number > tonumber(redis.call('HGET', hidden, device) or 0) then
    redis.call('HSET', hidden, device, string.format('%.0f', number))
    local stands = redis.call('HGET', standings, device)
    if stands and tonumber(stands) <= number then redis.call('HDEL', standings, device) end
    local kept = redis.call('HGET', latest, device) or ''
    local at = 1
    while at < #kept and tonumber(string.sub(kept, at, at + DIGITS - 1)) <= number do at = at + DIGITS end
    if at > #kept then redis.call('HDEL', latest, device)
    elseif at > 1 then redis.call('HSET', latest, device, string.sub(kept, at)) end
    redis.call('HSET', about, 'looked', 0)
  end
end
return 1
