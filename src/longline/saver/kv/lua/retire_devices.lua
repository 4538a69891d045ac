-- Retires devices that have not come for long, place by place.
-- KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), app, from, how many places it looks at, before when they were last there (ms), now, how long names
-- are kept (ms), how many it retires at most.
-- Returns {place that was not looked at any more (-1: none), {name, number of its event, …}}.
-- include: remove_device.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local answer = earlier(tag, token)
if answer then return answer end
local app, from, steps = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local before, now, names_kept, most = tonumber(ARGV[6]), ARGV[7], ARGV[8], tonumber(ARGV[9])
if is_gone(tag, app) then return { -1, {} } end
local stop = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)

local function is_stale(place, name, created, came, left)
  if not created then return false end -- it was deleted
  local last = math.max(tonumber(created), tonumber(string.match(came or '0', '^%d+')), tonumber(left or 0))
  if last >= before or redis.call('HEXISTS', tag .. 'w:' .. app, name) == 1 then return false end
  local session = find_session(tag, app, place)
  if session and session.expires_in ~= '0' then
    if session.node or session.ends_at and not is_over(session, now) then return false end
  end
  return redis.call('EXISTS', tag .. 'mw:' .. app .. ':' .. place) == 0
end

local gone, following = {}, from + steps < stop and from + steps or -1
for place = from, math.min(stop, from + steps) - 1 do
  local row = redis.call('HMGET', device_key(tag, app, place), 'n', 'c', 'v', 'e')
  if is_stale(place, unpack(row)) then
    if #gone == 2 * most then
      following = place
      break
    end
    gone[#gone + 1] = row[1]
    gone[#gone + 1] = remove_device(tag, app, row[1], place, now, 'o', 'device_retired', names_kept)
  end
end
if #gone == 0 then return { following, gone } end
return keep_answer(tag, token, ARGV[2], { following, gone })
