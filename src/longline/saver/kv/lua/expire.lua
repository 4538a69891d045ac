-- Ends and forgets what is due of one app, the oldest first. KEYS: beginning of the keys. ARGV: now, limit
-- (messages), retention of ledgers (ms), reason of what was never written though it was for who is online,
-- token of this call, then apps and the retention that each has of its own. Returns {messages ended or forgotten, 1 when there may be more now, how many could not be
-- ended}. Those hold up nobody else; they are looked at again after a while.
-- include: end_row.lua
-- include: once.lua

local BUCKETS = 16 -- looked at in one call
local AGAIN = 3600000 -- ms after which something that could not be ended is looked at again
local tag, now, limit, retention = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local offline = ARGV[4]

local before = answered(tag, 'expire', ARGV[5])
if before then
  local done, more = string.match(before, '^(%d+) (%d+)$')
  return { tonumber(done), tonumber(more), 0 }
end
local first = redis.call('ZRANGE', tag .. 'due', 0, 0, 'WITHSCORES')
if not first[1] or tonumber(first[2]) > now then return { 0, 0, 0 } end
local app = first[1]
local gone = redis.call('SISMEMBER', tag .. 'gone', app) == 1
local index = tag .. 'due:' .. app
for n = 6, #ARGV, 2 do
  if ARGV[n] == app then retention = tonumber(ARGV[n + 1]) end
end

-- When something is to be done about a row; its position, whether it is ended, whether it is for nobody.
local function due_at(row)
  local kind, flags, _, position, created, ttl = struct.unpack(ROW, row)
  local when = created + ttl
  if has(flags, ENDED) then when = when + retention end
  if gone then when = 0 end
  local nobody = kind == 'x' or kind == 'b' and struct.unpack('>I4', row, NEXT_AT) == 0
  return when, position, has(flags, ENDED), nobody
end

local function forget(id, row)
  local kind = string.sub(row, 1, 1)
  redis.call('HDEL', ledger_key(tag, app, id), id)
  if kind == 'm' then redis.call('DEL', tag .. 'L:' .. id, tag .. 'm:' .. id) end
  if kind == 'b' then
    forget_broadcast(tag, id)
    redis.call('ZREM', tag .. 'be:' .. app, id)
  end
end

-- A broadcast has ended: where devices may have missed it, those that come look at its sets.
local function note_ending(id)
  if gone or redis.call('EXISTS', set_key(tag, id, 'e'), set_key(tag, id, 'c')) == 0 then return end
  redis.call('ZADD', tag .. 'be:' .. app, 'NX', redis.call('INCR', tag .. 'pos'), id)
end

local later = {} -- by bucket, when it is due after this call
local bad = 0 -- how much could not be ended

local function put_off(bucket, when)
  if not later[bucket] or when < later[bucket] then later[bucket] = when end
end

local function give_up(id, bucket)
  bad = bad + 1
  if gone then redis.call('HDEL', ledger_key(tag, app, id), id) else put_off(bucket, now + AGAIN) end
end

-- Calls a function; false when it failed by what it found. Whoever comes upon a key that was just moved to another
-- server is cut short, as ever.
local function tried(call, ...)
  local fine, first, second, third, fourth = pcall(call, ...)
  if not fine and string.find(type(first) == 'table' and first.err or tostring(first), 'non local key', 1, true) then
    error(first, 0)
  end
  return fine, first, second, third, fourth
end

local tasks = {}
local last = gone and '+inf' or now
for _, bucket in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', last, 'LIMIT', 0, BUCKETS)) do
  later[bucket] = false
  local rows = redis.call('HGETALL', tag .. 'l:' .. app .. ':' .. bucket)
  for i = 1, #rows, 2 do
    local read, when, position, ended, nobody = tried(due_at, rows[i + 1])
    if not read then
      give_up(rows[i], bucket)
    elseif when <= now then
      tasks[#tasks + 1] = { when, position, rows[i], rows[i + 1], ended, nobody, bucket }
    else
      put_off(bucket, when)
    end
  end
end
table.sort(tasks, function(one, other)
  if one[1] ~= other[1] then return one[1] < other[1] end
  if one[2] ~= other[2] then return one[2] < other[2] end
  return one[3] < other[3]
end)

local done = 0

-- Ends a message, or forgets one that was ended; when something is to be done about it next, or false.
local function take_care_of(task)
  local id, row, ended = task[3], task[4], task[5]
  local when = false
  if not ended then
    local hidden = has(string.byte(row, 2), ONLINE_ONLY)
    end_row(tag, app, id, row, function(written)
      if hidden and not written then return DROPPED, offline end
      return EXPIRED, ''
    end, now)
    if not hidden and string.sub(row, 1, 1) == 'b' then note_ending(id) end
    row = redis.call('HGET', ledger_key(tag, app, id), id)
    row = flag_row(tag, app, id, row, ENDED)
    when = due_at(row)
  end
  if ended or gone then
    forget(id, row)
    when = false
  end
  if not task[6] then done = done + 1 end
  return when
end

for n, task in ipairs(tasks) do
  local bucket, when = task[7], task[1]
  if n <= limit then
    local fine, next_time = tried(take_care_of, task)
    if not fine then give_up(task[3], bucket) end
    when = fine and next_time
  end
  if when then put_off(bucket, when) end
end
close_boxes()

for bucket, when in pairs(later) do
  if when then
    redis.call('ZADD', index, when, bucket)
  else
    redis.call('ZREM', tag .. 'lx:' .. app, bucket)
    redis.call('DEL', tag .. 'lw:' .. app .. ':' .. bucket)
    redis.call('ZREM', index, bucket)
  end
end
local soonest = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
if soonest then
  redis.call('ZADD', tag .. 'due', gone and 0 or soonest, app)
else
  redis.call('ZREM', tag .. 'due', app)
end
local due = redis.call('ZRANGE', tag .. 'due', 0, 0, 'WITHSCORES')[2]
local more = due and tonumber(due) <= now and 1 or 0
remember(tag, 'expire', ARGV[5], done .. ' ' .. more)
return { done, more, bad }
