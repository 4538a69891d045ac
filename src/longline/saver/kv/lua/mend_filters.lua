-- Notes filters that sessions have where the directory does not know it. KEYS: tag of the app's home. ARGV, for each: app,
-- partition, filter. Returns for each 1 when it was not known.
-- include: kept.lua
-- include: directory.lua

local tag, now, answer = KEYS[1], server_time(), {}
for i = 1, #ARGV, 3 do
  local app, entry = ARGV[i], directory_entry(ARGV[i + 2], ARGV[i + 1])
  local known = is_gone(tag, app) or redis.call('ZSCORE', tag .. 'mh:' .. app, entry)
  if not known then
    redis.call('ZADD', tag .. 'mg', now, app .. ':' .. entry)
    redis.call('ZADD', tag .. 'mh:' .. app, 0, entry)
  end
  answer[#answer + 1] = known and 0 or 1
end
return answer
