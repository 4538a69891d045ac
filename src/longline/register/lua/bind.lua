-- Binds devices, or refuses all of them because a node is dead.
-- KEYS: {p}epoch, {p}linger, {p}moves, {p}bound:<token>, then {p}dead:<node> of each node, then {p}at:<node> of each
--       node, then {p}w:<app> of each app
-- ARGV: last moment to begin (ms of this server's clock, 0 for any), how long a repetition is recognised (ms), how
--       many nodes, their names, how many apps, their numbers, then of each bind: place of its app (from 0), place of
--       its node, device, now (ms), and of a session that only goes to another name its epoch so far, else 0
-- Answers: this server's clock (ms), then of each bind its epoch and the previous binding; 0 where a session was to
--       go to another name and its device has a newer one.
-- include: sessions.lua
local nodes = tonumber(ARGV[3])
local asked = { KEYS[1], KEYS[4] }
for n = 1, nodes do
  asked[2 + n] = KEYS[4 + n]
end
local known = redis.call('MGET', unpack(asked))
if known[2] then
  return cmsgpack.unpack(known[2]) -- carried out already: what has happened since is not undone
end
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(ARGV[1]) > 0 and clock > tonumber(ARGV[1]) then
  return redis.error_reply(string.format('LATE %.0f', clock))
end
for n = 1, nodes do
  if known[2 + n] then
    return redis.error_reply('FENCED ' .. ARGV[3 + n])
  end
end
start_numbers(known[1], time)
local first_app = 5 + nodes
local first_item = first_app + ARGV[first_app - 1]
local sessions = {}
for i = first_item, #ARGV, 5 do
  local app, device = ARGV[first_app + ARGV[i]], ARGV[i + 2]
  sessions[app .. '/' .. device] = look(app, device)
end
local answer = { clock }
for i = first_item, #ARGV, 5 do
  local app, node, device = ARGV[first_app + ARGV[i]], ARGV[4 + ARGV[i + 1]], ARGV[i + 2]
  local now, goes_on = ARGV[i + 3], tonumber(ARGV[i + 4])
  local member = app .. '/' .. device
  local previous = sessions[member]
  local held = goes_on > 0 and previous and tonumber(previous.epoch) or 0
  if held >= goes_on and held > 0 and previous.node == node and previous.due == '0' then
    answer[#answer + 1] = held -- done before
    answer[#answer + 1] = previous.text
  elseif held > goes_on then
    answer[#answer + 1] = 0
    answer[#answer + 1] = previous.text
  else
    local number = next_number()
    local since = held > 0 and previous.since or now
    local session = {
      app = app, device = device, epoch = string.format('%.0f', number), since = since, due = '0', node = node,
    }
    session.text = session.epoch .. ' ' .. since .. ' 0 ' .. node
    if previous then
      detach(previous)
    end
    redis.call('HSET', prefix .. 'w:' .. app, device, session.text)
    redis.call('SADD', prefix .. 'at:' .. node, member)
    if not previous then
      tell(session, 'online', number, now)
    elseif previous.node ~= node then
      tell(session, 'moved', number, now)
    end
    sessions[member] = session
    answer[#answer + 1] = number
    answer[#answer + 1] = previous and previous.text or false
  end
end
close()
redis.call('SET', KEYS[4], cmsgpack.pack(answer), 'PX', ARGV[2])
return answer
