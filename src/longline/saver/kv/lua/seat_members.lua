-- Gives a change of a group places for who comes, in its home, so that all changes together never are more than a
-- group may have members. KEYS: tag. ARGV: app, name, number, token of the change, how many come, how many members a
-- group may have, ms for which places are kept; and when members were counted: the version of the places before that,
-- how many there were, how many of them leave. Returns 1 when it has its places; {version} when members are to be
-- counted first, 2 when others under way are waited for, 0 when there is no room, false when there is no such group.

-- `b` is never less than the members and the places given out; `v` changes with each of these; `r<token>` is a change
-- under way: its places, and until when it has them.
local tag, app, token = KEYS[1], ARGV[1], 'r' .. ARGV[4]
local coming, bound = tonumber(ARGV[5]), tonumber(ARGV[6])
local key = tag .. 'gp:' .. app .. ':' .. ARGV[2]
local group = redis.call('HMGET', key, 'i', 'x', 'b', 'v', token)
if group[1] ~= ARGV[3] or group[2] or redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return false end
if group[5] then return 1 end
local booked, version = tonumber(group[3] or 0), group[4] or '0'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if booked + coming > bound then
  if ARGV[8] ~= version then return { version } end
  local others, fields = 0, redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if #fields[i] > 1 and string.sub(fields[i], 1, 1) == 'r' then
      local places, till = string.match(fields[i + 1], '^(%d+):(%d+)$')
      if tonumber(till) <= now then redis.call('HDEL', key, fields[i]) else others = others + places end
    end
  end
  booked = ARGV[9] + others
  local leaving = others == 0 and tonumber(ARGV[10]) or 0
  if booked + coming - leaving > bound then return others > 0 and 2 or 0 end
  -- Who comes for others who leave has all places until that is done: nobody counts on those of the latter.
  if booked + coming > bound then coming, booked = bound, 0 end
end
local till = string.format('%d:%.0f', coming, now + ARGV[7])
redis.call('HSET', key, 'b', booked + coming, 'v', version + 1, token, till)
return 1
