-- Takes filters out of the directory that no session in a partition has. KEYS: tag of the apps' home. ARGV: when that
-- was found (ms of a server's clock), after how many ms it is too late, for how long none may have been noted (ms), then
-- for each: app, partition, filter. Returns for each 1; 0 when it stays.
-- include: directory.lua

local tag, now, answer = KEYS[1], server_time(), {}
local late = math.abs(now - ARGV[1]) > tonumber(ARGV[2])
for i = 4, #ARGV, 3 do
  local app, entry = ARGV[i], directory_entry(ARGV[i + 2], ARGV[i + 1])
  local noted = redis.call('ZSCORE', tag .. 'mg', app .. ':' .. entry)
  local stays = late or noted and tonumber(noted) > now - ARGV[3]
  if not stays then redis.call('ZREM', tag .. 'mh:' .. app, entry) end
  answer[#answer + 1] = stays and 0 or 1
end
return answer
