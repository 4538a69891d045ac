-- Forgets a group in this partition; what waits of it is dropped. KEYS: tag. ARGV: app, group, reason.
-- include: broadcast.lua
-- include: groups.lua

local tag, app, group, reason = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local open = tag .. 'gl:' .. app .. ':' .. group
for _, id in ipairs(redis.call('ZRANGE', open, 0, -1)) do
  local row = redis.call('HGET', ledger_key(tag, app, id), id)
  if row then settle_rest(tag, id, row, DROPPED, reason, nil) end
end
for _, place in ipairs(members_in(tag, app, group)) do leave_group(tag, app, place, group) end
redis.call('DEL', open, label_key(tag, app, GROUP, group))
redis.call('HDEL', tag .. 'gq:' .. app, group)
return 1
