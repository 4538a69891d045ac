-- Forgets transitions that were read, and lets those follow that came while the stream was full.
-- KEYS: {p}epoch, {p}linger, {p}moves
-- ARGV: the first sequence that is kept, how many may follow
-- Answers: how many are left that could not follow.
-- include: sessions.lua
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[1])
if not is_late then
  return 0
end
local room = math.min(OUTBOX - redis.call('XLEN', KEYS[3]), tonumber(ARGV[2]))
if room > 0 then
  local following = redis.call('ZRANGE', late, 0, room - 1, 'WITHSCORES')
  for i = 1, #following, 2 do
    local member, sequence = following[i], following[i + 1]
    local text = redis.call('HGET', latest, member)
    local entry = { string.match(member, '/(.*)$'), string.sub(text, 2) }
    if string.sub(text, 1, 1) == '1' then
      entry[3], entry[4] = 'missed', '1'
    end
    redis.call('XADD', KEYS[3], sequence .. '-0', unpack(entry))
    redis.call('HDEL', latest, member)
    redis.call('ZREM', late, member)
  end
end
return redis.call('ZCARD', late)
