-- Which filters in an app's directory match topics: seeks, never a look at all of them. KEYS: tag of the app's home.
-- ARGV: limit of what a topic may cost, when no further topic is begun, app, topics.
-- Returns {how many topics were looked at, number of a topic, an entry whose filter matches it or 0 when it costs too
-- much, …}, numbers from 0; {-1} when the app is deleted. Among them are those of groups, `$share/<name>/<filter>`, whose
-- filter matches: of as many as may cost as much again.
--
-- A filter that matches begins, level by level, with the topic's own name or with `+`. Filters that begin with "x/"
-- stand between "x/" and "x0"; among them those that go on with "#" or "+" between "x/#" and "x/,".
-- What is counted: beginnings that were looked at, and entries whose filter matches.
-- include: kept.lua
-- include: levels.lua

local tag, limit, most, app = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
if is_gone(tag, app) then return { -1 } end
local directory = tag .. 'mh:' .. app
local answer, spent = { 0 }, 0
local NAMES = 1000 -- of groups that a topic is looked up for

local function any(first, behind)
  return redis.call('ZRANGEBYLEX', directory, '[' .. first, '(' .. behind, 'LIMIT', 0, 1)[1] ~= nil
end

local function match(number, topic)
  local levels, cost, found = levels_of(topic), 0, {}
  local hidden = string.sub(topic, 1, 1) == '$' -- from wildcards at the first level [MQTT-4.7.2-1]

  local function take(filter)
    for _, entry in ipairs(redis.call('ZRANGEBYLEX', directory, bounds_of(filter))) do
      cost = cost + 1
      found[#found + 1] = entry
    end
  end

  -- Filters that begin with a text, which ends with "/" or is empty, and match the levels from one on.
  local function walk(begin, level)
    cost = cost + 1
    if cost > limit then return end
    local wild = not (level == 1 and hidden) and any(begin .. '#', begin .. ',')
    if wild then take(begin .. '#') end
    for _, name in ipairs(wild and { levels[level], '+' } or { levels[level] }) do
      local text = begin .. name
      if level == #levels then
        take(text)
        take(text .. '/#') -- the level above matches as well, section 4.7.1.2
      elseif any(text .. '/', text .. '0') then
        walk(text .. '/', level + 1)
      end
    end
  end

  walk('', 1)
  if cost > limit then found = { 0 } end
  local plain, names, after = math.min(cost, limit), 0, '[$share/'
  cost = 0
  while names < NAMES and cost <= limit do
    local first = redis.call('ZRANGEBYLEX', directory, after, '($share0', 'LIMIT', 0, 1)[1]
    if not first then break end
    local name = string.match(first, '^%$share/([^/%z]*)/')
    after = '(' .. first -- without a filter behind it, it is no group's
    if name then
      walk('$share/' .. name .. '/', 1)
      after = '[$share/' .. name .. '0'
    end
    names = names + 1
  end
  for _, entry in ipairs(found) do
    answer[#answer + 1] = number
    answer[#answer + 1] = entry
  end
  return plain + math.min(cost, limit)
end

for n = 4, #ARGV do
  if spent >= most then break end
  spent = spent + match(n - 4, ARGV[n])
  answer[1] = n - 3
end
return answer
