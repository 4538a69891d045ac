-- Takes devices out of a group; what waits for them of what was said there is dropped. KEYS: tag. ARGV: app, group,
-- reason, places, rising. Returns for each 1 when it was a member, 0 when not.
-- include: broadcast.lua
-- include: groups.lua

local tag, app, group, reason = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local codes, packed = {}, {}
for i = 4, #ARGV do packed[#packed + 1] = struct.pack('>I4', ARGV[i]) end
local places = table.concat(packed)
-- First what waits: a call that is cut short before the end finds those who are members still.
for _, id in ipairs(redis.call('ZRANGE', tag .. 'gl:' .. app .. ':' .. group, 0, -1)) do
  local row = redis.call('HGET', ledger_key(tag, app, id), id)
  if row then stand_many(tag, id, row, places, DROPPED, reason, false) end
end
for i = 4, #ARGV do codes[#codes + 1] = leave_group(tag, app, tonumber(ARGV[i]), group) and 1 or 0 end
return codes
