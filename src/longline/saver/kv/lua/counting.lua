-- What is counted of apps in one partition: kv/counts.py says what the keys are.
local HOUR = 3600000 -- ms

-- Counts so many of a kind in the hour of `at` (ms).
local function count(tag, app, at, kind, n)
  local field = string.format('%.0f', math.floor(at / HOUR)) .. kind
  if redis.call('HINCRBY', tag .. 'ac:' .. app, field, n) == n then redis.call('SADD', tag .. 'an', app) end
end

local presence -- the app, hour and keys of who was noted last by this script: most of a call are of one

-- A device is there.
local function note_there(tag, app, place, at)
  local hour = math.floor(at / HOUR)
  if not presence or presence.app ~= app or presence.hour ~= hour then
    local name = app .. ':' .. string.format('%.0f', hour)
    local day_name = app .. ':' .. string.format('%.0f', math.floor(hour / 24))
    presence = {
      app = app, hour = hour, name = name, day_name = day_name,
      key = tag .. 'ah:' .. name, day_key = tag .. 'ad:' .. day_name,
    }
  end
  if redis.call('SETBIT', presence.key, place, 1) == 1 then return end
  redis.call('SETBIT', presence.day_key, place, 1)
  if not presence.listed then
    local after = 24 * (math.floor(hour / 24) + 1)
    redis.call('ZADD', tag .. 'ao', hour + 1, 'h:' .. presence.name, after, 'd:' .. presence.day_name)
    presence.listed = true
  end
end
