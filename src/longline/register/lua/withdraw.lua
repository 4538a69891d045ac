-- Ends the session that a bind may have begun of which nobody knows whether it was carried out.
-- KEYS: {p}epoch, {p}linger, {p}moves, {p}w:<app>
-- ARGV: app, device, node, since (ms), now (ms), for how long ends of connections are told (ms)
-- include: sessions.lua
local session = look(ARGV[1], ARGV[2], true)
if session and session.node == ARGV[3] and session.since == ARGV[4] then
  part(session, ARGV[5], '0', '', ARGV[6])
  close()
end
return 1
