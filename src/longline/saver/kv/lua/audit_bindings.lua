-- The session table of one partition. Only reads. KEYS: tag. ARGV: app, where to go on ("0" to begin with), how many.
-- Returns {where to go on, last epoch, for each session: {device, binding, its place or false, 1 when it is among those
-- who are connected to its node, when its lingering ends or false}}.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '0', '0' } end
local page = redis.call('HSCAN', tag .. 'w:' .. app, ARGV[2], 'COUNT', ARGV[3])
local found = { page[1], redis.call('GET', tag .. 'epoch') or '0' }
for n = 1, #page[2], 2 do
  local device, binding = page[2][n], page[2][n + 1]
  local node = string.match(binding, '^%d+ %d+ %d+ (.*)$') or ''
  local member = app .. '/' .. device
  found[#found + 1] = {
    device, binding, redis.call('HGET', tag .. 'n:' .. app, device),
    redis.call('SISMEMBER', tag .. 'at:' .. node, member), redis.call('ZSCORE', tag .. 'linger', member),
  }
end
return found
