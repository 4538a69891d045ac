-- Ends sessions that have lingered for long enough; they were over when their time was.
-- KEYS: {p}epoch, {p}linger, {p}moves
-- ARGV: now (ms), limit
-- Answers: how many it ended.
-- include: sessions.lua
local sessions = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  sessions[#sessions + 1] = look_leaving(member)
end
for _, session in ipairs(sessions) do
  part(session, session.due, '0', '')
end
close()
return #sessions
