-- Stores packet identifiers of pushes. KEYS: tag. ARGV: for each session: app, place, number, epoch, how many, and of each
-- the identifier and the push. Returns for each session 1, or 0 where another connection has it, or nobody.
-- include: kept.lua

local tag = KEYS[1]
local answers = {}
local i = 1
while i <= #ARGV do
  local app, place, number, epoch, count = unpack(ARGV, i, i + 4)
  local key = part_key(tag, 'mc:', app, place, number)
  redis.call('EXISTS', key)
  local session = find_session(tag, app, place)
  local has = session ~= nil and session.number == number and session.epoch == epoch
  if has and tonumber(count) > 0 then redis.call('HSET', key, unpack(ARGV, i + 5, i + 4 + 2 * count)) end
  answers[#answers + 1] = has and 1 or 0
  i = i + 5 + 2 * count
end
return answers
