-- Retained messages of an app in one partition. Only reads. KEYS: tag. ARGV: app, topic behind which to go on ("" to begin
-- with), how many, how many an app may have whose bytes are added up.
-- Returns {topic behind which to go on or "", {bytes as noted, soonest end as noted or false}, {bytes as added up or
-- false, soonest end or false}, {topics, messages, ends}, {topics without a message}, {topics whose end is of none}}.
-- include: retained.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return { '' } end
local topics, bodies, ends = tag .. 'rt:' .. app, tag .. 'rb:' .. app, tag .. 're:' .. app
local count = redis.call('ZCARD', topics)
local bytes = false
if ARGV[2] == '' and count <= tonumber(ARGV[4]) then
  local sum = 0
  for _, topic in ipairs(redis.call('ZRANGE', topics, 0, -1)) do sum = sum + size_at(tag, app, topic) end
  bytes = string.format('%.0f', sum)
end
local first = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local page, wrong = redis.call('ZRANGEBYLEX', topics, first, '+', 'LIMIT', 0, ARGV[3]), {}
for _, topic in ipairs(page) do
  if redis.call('HEXISTS', bodies, topic) == 0 then wrong[#wrong + 1] = topic end
end
local strangers = {}
if ARGV[2] == '' then
  for _, topic in ipairs(redis.call('ZRANGE', ends, 0, ARGV[3] - 1)) do
    if redis.call('HEXISTS', bodies, topic) == 0 then strangers[#strangers + 1] = topic end
  end
end
return {
  #page == tonumber(ARGV[3]) and page[#page] or '',
  { redis.call('HGET', tag .. 'rn', app) or '0', redis.call('ZSCORE', tag .. 'rd', app) },
  { bytes, redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')[2] or false },
  { count, redis.call('HLEN', bodies), redis.call('ZCARD', ends) }, wrong, strangers,
}
