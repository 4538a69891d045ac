-- Messages that were stored for connected devices, and of which nobody said that they were written. Of those that wait
-- for a device, the newest: who is offered that reads what is before it. Of those for who is online only, all.
-- KEYS: beginning of the keys. ARGV: stored before (ms), limit, when they are shown again (ms), token of
-- this call, after how many bytes of messages to end. Returns how many were looked at, and
-- {app, place, name, binding, entry, whole message or false, …}; a message is whole once, and empty where it comes
-- again. What has no connected device any more is left to the device's coming.
-- include: inbox.lua
-- include: shown.lua

local tag, again, most = KEYS[1], ARGV[3], tonumber(ARGV[5])
local rows, newest, known = {}, {}, {}
local looked, bytes = 0, 0
for _, member in ipairs(to_show(tag, 'unr', ARGV[1], ARGV[2], again, ARGV[4])) do
  if bytes >= most then break end
  looked = looked + 1
  local app, place, position = string.match(member, '^(%d+):(%d+):(%d+)$')
  local box, at = find_box(tag, app, place, tonumber(position))
  local name = box and redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'n')
  local binding = name and redis.call('HGET', tag .. 'w:' .. app, name)
  if binding and string.find(binding, '^%d+ %d+ 0 ') and redis.call('SISMEMBER', tag .. 'gone', app) == 0 then
    local size, _, _, _, id = struct.unpack(ENTRY, box.inbox, at)
    local entry = string.sub(box.inbox, at, at + size - 1)
    if not known[id] then
      known[id] = true
      bytes = bytes + size + redis.call('STRLEN', tag .. 'm:' .. id)
    end
    local n = box.kind == 'i:' and newest[app .. ':' .. place] or #rows + 1
    if box.kind == 'i:' then newest[app .. ':' .. place] = n end
    rows[n] = { app, place, name, binding, entry, id }
    redis.call('ZADD', tag .. 'unr', again, member)
  else
    redis.call('ZREM', tag .. 'unr', member)
  end
end

local found, told = {}, {}
for _, row in ipairs(rows) do
  local id = row[6]
  row[6] = told[id] and '' or redis.call('GET', tag .. 'm:' .. id)
  told[id] = row[6] ~= false
  for _, value in ipairs(row) do found[#found + 1] = value end
end
return { looked, found }
