-- Lets sessions linger, or ends them.
-- KEYS: {p}epoch, {p}linger, {p}moves, then {p}w:<app> of each app
-- ARGV: for how long ends of connections are told (ms); for each session: app, device, epoch, now (ms), when its lingering ends (ms, 0: it is over now), why
-- Answers: of each session 1, or 0 where another owns it by now or nobody does.
-- include: sessions.lua
local sessions = {}
for i = 2, #ARGV, 6 do
  sessions[ARGV[i] .. '/' .. ARGV[i + 1]] = look(ARGV[i], ARGV[i + 1], true)
end
local answer = {}
for i = 2, #ARGV, 6 do
  local member, due = ARGV[i] .. '/' .. ARGV[i + 1], ARGV[i + 4]
  local session = sessions[member]
  if not session or session.epoch ~= ARGV[i + 2] then
    answer[#answer + 1] = 0
  else
    part(session, ARGV[i + 3], due, ARGV[i + 5], ARGV[1])
    if due == '0' then
      sessions[member] = nil
    else
      session.due = due
    end
    answer[#answer + 1] = 1
  end
end
close()
return answer
