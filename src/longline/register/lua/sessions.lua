-- Sessions of one partition, "{p}" in the names of its keys:
--   {p}w:<app>      HASH device -> binding "<epoch> <since> <due> <node>"; due is 0 while it is connected, else
--                   the time (ms) at which its lingering ends
--   {p}at:<node>    SET of "<app>/<device>": who is connected to the node
--   {p}linger       ZSET due -> "<app>/<device>": who lingers
--   {p}moves        STREAM of transitions, ids "<sequence>-0", device -> "<app> <state> <epoch> <at> <node>"; a second
--                   field where earlier ones of the device were left out
--   {p}late         ZSET sequence -> "<app>/<device>" of what is told while the stream is full: the latest of each
--                   device, so there are not more than devices; and
--   {p}latest       HASH of the same -> 1 where earlier ones were left out, else 0, then the text of the transition.
--                   They follow into the stream as it is read, and until then nothing else does
--   {p}epoch        the last number given: epochs and sequences are one row of them
--   {p}dead:<node>  there when the node was declared dead
--   {p}bound:<token> what a bind has answered, for as long as it may be repeated
-- Every script has {p}epoch, {p}linger and {p}moves as its first three keys. Other keys it may know only after
-- it has read some; while a Cluster moves their slot away, touching such a key can fail. So scripts read
-- all that they need, by `look` and `reach`, before they write anything: a script that failed has done nothing.
-- Of the saver's keys they read {p}n:<app>, and write the field e of {p}d:<app>:<place>, and to {p}hc:<app>:<place>,
-- see `find_traces`.

local OUTBOX = 32768 -- transitions that the stream has, about, for a reader that does not come

local prefix = string.match(KEYS[1], '^{[^}]*}')
local late, latest = prefix .. 'late', prefix .. 'latest'
local last -- number given
local reached = {}
local is_late = redis.call('EXISTS', late, latest) > 0 or redis.call('XLEN', KEYS[3]) >= OUTBOX

-- Numbers rise faster than the clock only while there is more than one a microsecond, and they rise above those
-- that a store which lost its latest writes had given. `given`: what {p}epoch has, `time`: what TIME says.
local function start_numbers(given, time)
  last = math.max(tonumber(given or 0), time[1] * 1000000 + time[2])
end

local function next_number()
  if not last then
    start_numbers(redis.call('GET', KEYS[1]), redis.call('TIME'))
  end
  last = last + 1
  return last
end

-- Keeps what was counted.
local function close()
  if last then
    redis.call('SET', KEYS[1], string.format('%.0f', last))
  end
end

local function reach(node)
  if not reached[node] then
    redis.call('EXISTS', prefix .. 'at:' .. node)
    reached[node] = true
  end
end

-- The hash in which the saver notes when a device was last there, and the list of its connections, where it has one
-- to end; nil unless it noted that this one came. So they are written in the step in which the session ends: at no moment
-- is a device neither bound nor known to have been there.
local function find_traces(app, device, is_connected)
  local place = redis.call('HGET', prefix .. 'n:' .. app, device)
  if not place then
    return nil, nil
  end
  local visit, list = prefix .. 'd:' .. app .. ':' .. place, prefix .. 'hc:' .. app .. ':' .. place
  return redis.call('HEXISTS', visit, 'v') == 1 and visit or nil,
    is_connected and redis.call('EXISTS', list) == 1 and list or nil
end

-- A session in the table, or nil. `epoch`, `since` and `due` are strings. `leaves`: it may end.
local function look(app, device, leaves)
  local binding = redis.call('HGET', prefix .. 'w:' .. app, device)
  if not binding then
    return nil
  end
  local epoch, since, due, node = string.match(binding, '^(%d+) (%d+) (%d+) (.*)$')
  if due == '0' then
    reach(node)
  end
  local session = {
    app = app, device = device, epoch = epoch, since = since, due = due, node = node, text = binding,
  }
  if leaves then
    session.visit, session.connections = find_traces(app, device, due == '0')
  end
  return session
end

-- The session of a member of a set or index, which is to end.
local function look_leaving(member)
  local app, device = string.match(member, '^(%d+)/(.*)$')
  return look(app, device, true)
end

local function tell(session, state, sequence, at)
  local text = session.app .. ' ' .. state .. ' ' .. session.epoch .. ' ' .. at .. ' ' .. session.node
  if not is_late then
    redis.call('XADD', KEYS[3], string.format('%.0f-0', sequence), session.device, text)
    return
  end
  local member = session.app .. '/' .. session.device
  redis.call('HSET', latest, member, redis.call('HEXISTS', latest, member) .. text)
  redis.call('ZADD', late, string.format('%.0f', sequence), member)
end

-- Takes a session out of everything but the table itself.
local function detach(session)
  local member = session.app .. '/' .. session.device
  if session.due == '0' then
    redis.call('SREM', prefix .. 'at:' .. session.node, member)
  else
    redis.call('ZREM', KEYS[2], member)
  end
end

-- Ends a session at `at` (ms), or lets it linger until `due` (ms) when that is not 0. `reason`: why its connection ended,
-- where it still had one; that is told for `kept` ms.
local function part(session, at, due, reason, kept)
  local w = prefix .. 'w:' .. session.app
  detach(session)
  if session.due == '0' and session.connections then
    redis.call('RPUSH', session.connections, cmsgpack.pack({ tonumber(session.epoch), tonumber(at), reason }))
    redis.call('PEXPIRE', session.connections, kept)
  end
  if due == '0' then
    redis.call('HDEL', w, session.device)
    if session.visit then
      redis.call('HSET', session.visit, 'e', at)
    end
    tell(session, 'offline', next_number(), at)
  else
    redis.call('HSET', w, session.device,
      session.epoch .. ' ' .. session.since .. ' ' .. due .. ' ' .. session.node)
    redis.call('ZADD', KEYS[2], due, session.app .. '/' .. session.device)
  end
end
