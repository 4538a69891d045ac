-- The webhook of an app, and what its target never took. Only reads. KEYS: tag. ARGV: app, how many dead events, and
-- bytes of them, are added up at most.
-- Returns {} where there is nothing; else {1 when there is a webhook, 1 when it is listed, figures as noted: {events,
-- bytes}, as added up: {events, bytes} or false, events by their numbers, {numbers without an event}, {numbers to be sent
-- again that are not dead}, {devices whose events are counted wrong}}.
-- include: webhooks.lua

local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return {} end
local hook, events, numbers = tag .. 'wh:' .. app, tag .. 'whe:' .. app, tag .. 'whd:' .. app
local again, devices = tag .. 'whr:' .. app, tag .. 'whn:' .. app
if redis.call('EXISTS', hook, events, numbers, again, devices) == 0 then return {} end
local noted = redis.call('HMGET', hook, 'c', 'y')
local length, size = tonumber(noted[1] or 0), tonumber(noted[2] or 0)
local found = {
  redis.call('HEXISTS', hook, 'b'), redis.call('ZSCORE', tag .. 'whs', app) and 1 or 0, { length, size }, false,
  redis.call('ZCARD', numbers), {}, {}, {},
}
if math.max(length, redis.call('HLEN', events)) > tonumber(ARGV[2]) or size > tonumber(ARGV[3]) then return found end

local counted, bytes, of_device = 0, 0, {}
local all = redis.call('HGETALL', events)
for i = 2, #all, 2 do
  local device = device_of(all[i])
  counted, bytes = counted + 1, bytes + #all[i]
  of_device[device] = (of_device[device] or 0) + 1
end
found[4] = { counted, bytes }
for _, number in ipairs(redis.call('ZRANGE', numbers, 0, -1)) do
  if redis.call('HEXISTS', events, number) == 0 then table.insert(found[6], number) end
end
for _, number in ipairs(redis.call('ZRANGE', again, 0, -1)) do
  if not redis.call('ZSCORE', numbers, number) then table.insert(found[7], number) end
end
local told = redis.call('HGETALL', devices)
for i = 1, #told, 2 do
  if tonumber(told[i + 1]) ~= of_device[told[i]] then table.insert(found[8], told[i]) end
  of_device[told[i]] = nil
end
for device in pairs(of_device) do table.insert(found[8], device) end
return found
