-- Counts what devices have not acknowledged. KEYS: tag. ARGV: for each: app, place, when (ms), from how many strikes on it
-- parks. Returns an answer for each.
-- include: devices.lua

local tag = KEYS[1]
local answers = {}
for i = 1, #ARGV, 4 do
  local app, place, at, parks_at = unpack(ARGV, i, i + 3)
  local key = device_key(tag, app, place)
  local there, known = unpack(redis.call('HMGET', key, 'c', 'ks'))
  if there then
    local strikes, latest, since = string.match(known or '0 0 0', '^(%d+) (%d+) (%d+)$')
    if tonumber(latest) < tonumber(at) then
      strikes = tonumber(strikes) + 1
      if since == '0' and strikes >= tonumber(parks_at) then since = at end
      redis.call('HSET', key, 'ks', string.format('%d %s %s', strikes, at, since))
    end
  end
  answers[#answers + 1] = 1
end
return answers
