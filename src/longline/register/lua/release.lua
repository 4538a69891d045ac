-- Lets the sessions of a dead node linger, or ends them.
-- KEYS: {p}epoch, {p}linger, {p}moves, {p}at:<node>
-- ARGV: now (ms), when their lingering ends (ms, 0: they are over now), limit, for how long ends of connections are
-- told (ms)
-- Answers: how many it found.
-- include: sessions.lua
local sessions = {}
for _, member in ipairs(redis.call('SRANDMEMBER', KEYS[4], ARGV[3])) do
  sessions[#sessions + 1] = look_leaving(member)
end
for _, session in ipairs(sessions) do
  part(session, ARGV[1], ARGV[2], 'node_died', ARGV[4])
end
close()
return #sessions
