-- Timers of an app. Only reads. KEYS: tag. ARGV: app, where to go on ("0" to begin with), how many, how many an app may
-- have whose figures are added up.
-- Returns {where to go on, figures as noted: {messages, schedules, bytes, soonest}, as added up: {messages, schedules,
-- bytes, soonest} or false, {how many are listed, due, there}, for each: {id, due, kind, 1 when it is listed, when it is
-- due by the index or false}}.
-- include: timers.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return { '0', {} } end
local all, listed, due = tag .. 'sch:' .. app, tag .. 'schl:' .. app .. ':', tag .. 'schd:' .. app
local noted = redis.call('HMGET', tag .. 'schn:' .. app, '0', '1', 'b')
noted[4] = redis.call('ZSCORE', tag .. 'schs', app)
local found = { '0', noted, false, {
  redis.call('ZCARD', listed .. '0') + redis.call('ZCARD', listed .. '1'), redis.call('ZCARD', due),
  redis.call('HLEN', all),
} }
if ARGV[2] == '0' and redis.call('HLEN', all) <= tonumber(ARGV[4]) then
  local open, bytes, soonest = { [0] = 0, [1] = 0 }, 0, 0
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', all, cursor, 'COUNT', 1000)
    cursor = page[1]
    for n = 2, #page[2], 2 do
      local _, at, is_open, kind = struct.unpack(HEAD, page[2][n])
      open[kind] = open[kind] + is_open
      bytes = bytes + size_of(page[2][n])
      if at > 0 and (soonest == 0 or at < soonest) then soonest = at end
    end
  until cursor == '0'
  found[3] = { open[0], open[1], string.format('%.0f', bytes), string.format('%.0f', soonest) }
end
local page = redis.call('HSCAN', all, ARGV[2], 'COUNT', ARGV[3])
found[1] = page[1]
for n = 1, #page[2], 2 do
  local id = page[2][n]
  local _, at, _, kind = struct.unpack(HEAD, page[2][n + 1])
  found[#found + 1] = {
    id, string.format('%.0f', at), kind, redis.call('ZSCORE', listed .. kind, id) and 1 or 0,
    redis.call('ZSCORE', due, id),
  }
end
return found
