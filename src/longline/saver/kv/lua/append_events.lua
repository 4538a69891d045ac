-- Appends events to the queue of an app, those whose sequence is above the highest of their source.
-- KEYS: tag. ARGV: app, bound of the queue, and for each event: source, sequence, event.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return 0 end
local sources = tag .. 'us:' .. app
for i = 3, #ARGV, 3 do
  local source, sequence, event = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local highest = redis.call('HGET', sources, source)
  if not highest or tonumber(sequence) > tonumber(highest) then
    redis.call('XADD', tag .. 'u:' .. app, 'MAXLEN', '=', ARGV[2], '*', 'e', event)
    redis.call('HSET', sources, source, sequence)
  end
end
return 1
