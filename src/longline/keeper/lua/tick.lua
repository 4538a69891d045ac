-- Says that members are alive, declares dead who was not heard of, lets members lead, and tells what is new.
-- ARGV: owner, session timeout in ms, 1 for a heartbeat, changes seen, writes seen,
--       how many members, the members, then duty and member of each claim
-- Answers: changes, writes, members that are no more, [members, leaders, terms] unless seen, values unless seen
-- include: common.lua

local WAIT = 10000 -- ms that nobody is declared dead while most of them are silent
local PACE = 1000 -- ms from one death to the next then
local WITHHELD = 120000 -- ms that deaths are withheld at most

-- Who is to be declared dead now. That most of them die at once is less likely than that all of them are slow, as on
-- a host that has too much to do; then they are given time, and die one by one. coordinator/judgement.py does the same
-- for what follows from a death.
local function judged(now)
  local silent = redis.call('ZCOUNT', BEATS, '-inf', now)
  local many = tonumber(redis.call('HGET', STATE, 'many'))
  local found = redis.call('ZRANGEBYSCORE', BEATS, '-inf', now, 'LIMIT', 0, 100)
  if silent < 2 or 2 * silent <= redis.call('ZCARD', BEATS) then
    if many then redis.call('HDEL', STATE, 'many') end
    return found
  end
  if not many or many > now then
    redis.call('HSET', STATE, 'many', now)
    return {}
  end
  if now - many >= WITHHELD then return found end
  local last = tonumber(redis.call('HGET', STATE, 'died')) or 0
  if now - many < WAIT or (now >= last and now - last < PACE) then return {} end
  redis.call('HSET', STATE, 'died', now)
  return { found[1] }
end

local owner, timeout, beat = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local count = tonumber(ARGV[6])

if beat then
  local now = clock()
  local last = tonumber(redis.call('HGET', STATE, 'beat')) or now
  if now < last or now > last + timeout / 2 then
    -- Nobody was heard of: the store itself was away, or its clock was set. No member is to blame for that.
    local beats = redis.call('ZRANGE', BEATS, 0, -1, 'WITHSCORES')
    for i = 1, #beats, 2 do
      redis.call('ZADD', BEATS, beats[i + 1] + now - last, beats[i])
    end
  end
  redis.call('HSET', STATE, 'beat', now)
  for i = 7, 6 + count do
    if owns(owner, ARGV[i]) then redis.call('ZADD', BEATS, now + timeout, ARGV[i]) end
  end
  for _, node in ipairs(judged(now)) do
    remove(node)
  end
end

local lost = {}
for i = 7, 6 + count do
  if not owns(owner, ARGV[i]) then lost[#lost + 1] = ARGV[i] end
end

for i = 7 + count, #ARGV, 2 do
  local duty, node = ARGV[i], ARGV[i + 1]
  if owns(owner, node) and redis.call('HSETNX', LEADERS, duty, node) == 1 then
    -- By the clock, so that it rises also when the store has forgotten the last one.
    local last = tonumber(redis.call('HGET', TERMS, duty)) or 0
    redis.call('HSET', TERMS, duty, string.format('%d', math.max(last + 1, clock())))
    redis.call('HINCRBY', STATE, 'changes', 1)
  end
end

local changes = tonumber(redis.call('HGET', STATE, 'changes')) or 0
local written = tonumber(redis.call('HGET', STATE, 'written')) or 0
local standing, values = false, false
if changes ~= tonumber(ARGV[4]) then
  standing = {redis.call('HGETALL', MEMBERS), redis.call('HGETALL', LEADERS), redis.call('HGETALL', TERMS)}
end
if written ~= tonumber(ARGV[5]) then values = redis.call('HGETALL', VALUES) end
return {changes, written, lost, standing, values}
