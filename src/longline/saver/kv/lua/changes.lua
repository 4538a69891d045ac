-- What became of devices of a partition, until it is in the queues of their apps: `dc` STREAM, ids "<number>-0",
-- app, what (r registered, d deleted, o retired), at (ms), name. `dn` is a number that none is above. Numbers rise with
-- this server's clock, in microseconds. `dl` counts those for which there was no place.
local CHANGES = 50000 -- that wait for who carries them on
local NUMBERS = 100 -- that a script takes at once
-- The last number, the last that this script has taken, and how many wait: looked up once, and counted on.
local last_told, taken, told_waiting

local function tell_change(tag, app, name, what, at)
  told_waiting = told_waiting or redis.call('XLEN', tag .. 'dc')
  if what == 'r' and told_waiting >= CHANGES then
    redis.call('INCR', tag .. 'dl')
    return
  end
  if not last_told then
    local time = redis.call('TIME')
    last_told = math.max(tonumber(redis.call('GET', tag .. 'dn') or 0), time[1] * 1000000 + time[2] - 1)
    taken = last_told
  end
  if last_told == taken then
    taken = taken + NUMBERS
    redis.call('SET', tag .. 'dn', string.format('%.0f', taken))
  end
  last_told, told_waiting = last_told + 1, told_waiting + 1
  local number = string.format('%.0f', last_told)
  redis.call('XADD', tag .. 'dc', number .. '-0', 'a', app, 'w', what, 't', at, 'n', name)
  return number
end
