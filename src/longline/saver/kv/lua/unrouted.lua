-- Messages that were stored for connected devices, and of which nobody said that they were written.
-- KEYS: beginning of the keys. ARGV: stored before (ms), limit, when they are shown again (ms), token of
-- this call. Returns {app, place, name, binding, entry, whole message or false, …}. What has no connected
-- device any more is left to the device's coming.
-- include: inbox.lua
-- include: shown.lua

local tag, again = KEYS[1], ARGV[3]
local found = {}
for _, member in ipairs(to_show(tag, 'unr', ARGV[1], ARGV[2], again, ARGV[4])) do
  local app, place, position = string.match(member, '^(%d+):(%d+):(%d+)$')
  local box, at = find_box(tag, app, place, tonumber(position))
  local name = box and redis.call('HGET', tag .. 'd:' .. app .. ':' .. place, 'n')
  local binding = name and redis.call('HGET', tag .. 'w:' .. app, name)
  if binding and string.find(binding, '^%d+ %d+ 0 ') and redis.call('SISMEMBER', tag .. 'gone', app) == 0 then
    local size, _, _, _, id = struct.unpack(ENTRY, box.inbox, at)
    local entry = string.sub(box.inbox, at, at + size - 1)
    for _, value in ipairs({ app, place, name, binding, entry, redis.call('GET', tag .. 'm:' .. id) }) do
      found[#found + 1] = value
    end
    redis.call('ZADD', tag .. 'unr', again, member)
  else
    redis.call('ZREM', tag .. 'unr', member)
  end
end
return found
