-- Notes that sessions in a partition may have filters, before they do. KEYS: tag of the apps' home. ARGV: for how long
-- it is known when that was (ms), then for each: app, partition, filter. Returns for each 1; 0 when the app is deleted.
-- include: kept.lua
-- include: directory.lua

local tag, now, answer = KEYS[1], server_time(), {}
for i = 2, #ARGV, 3 do
  local app, entry = ARGV[i], directory_entry(ARGV[i + 2], ARGV[i + 1])
  local gone = is_gone(tag, app)
  if not gone then
    redis.call('ZADD', tag .. 'mg', now, app .. ':' .. entry)
    redis.call('ZADD', tag .. 'mh:' .. app, 0, entry)
  end
  answer[#answer + 1] = gone and 0 or 1
end
local old = redis.call('ZRANGEBYSCORE', tag .. 'mg', '-inf', now - ARGV[1], 'LIMIT', 0, 2 * #answer)
if #old > 0 then redis.call('ZREM', tag .. 'mg', unpack(old)) end
return answer
