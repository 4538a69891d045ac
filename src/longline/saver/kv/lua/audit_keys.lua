-- Whether keys of one partition are anybody's. Only reads. KEYS: tag. ARGV: for each key: app, place ("" for none), id of
-- a message ("" for none). Returns for each 1 when it is, 0 when its app is being taken away, -1 when its place is
-- nobody's, -2 when there is no ledger of its message in any of the apps whose numbers follow "apps".
-- include: formats.lua
local tag, replies, apps = KEYS[1], {}, {}
local last = #ARGV
for n = #ARGV, 1, -1 do
  if ARGV[n] == 'apps' then
    last = n - 1
    for i = n + 1, #ARGV do apps[#apps + 1] = ARGV[i] end
    break
  end
end
for i = 1, last, 3 do
  local app, place, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local reply = 1
  if app ~= '' and redis.call('SISMEMBER', tag .. 'gone', app) == 1 then
    reply = 0
  elseif place ~= '' and redis.call('HEXISTS', tag .. 'd:' .. app .. ':' .. place, 'c') == 0 then
    reply = -1
  elseif id ~= '' then
    reply = -2
    for _, each in ipairs(apps) do
      if redis.call('HEXISTS', ledger_key(tag, each, id), id) == 1 then reply = 1 end
    end
  end
  replies[#replies + 1] = reply
end
return replies
