-- Timers of an app and a kind, by id. KEYS: tag. ARGV: app, kind, the id to begin behind ("" for none), how many, how
-- many bytes of them (but one in any case).
-- Returns {1 when there are more, else 0, id, timer, …}.
-- include: timers.lua

local tag, app, kind, after = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local limit, left = tonumber(ARGV[4]), tonumber(ARGV[5])
if is_gone(tag, app) then return { 0 } end
local first = after == '' and '-' or '(' .. after
local found = { 0 }
local ids = redis.call('ZRANGEBYLEX', tag .. 'schl:' .. app .. ':' .. kind, first, '+', 'LIMIT', 0, limit + 1)
for i, id in ipairs(ids) do
  left = left - redis.call('HSTRLEN', tag .. 'sch:' .. app, id)
  if i > limit or (i > 1 and left < 0) then
    found[1] = 1
    break
  end
  found[#found + 1] = id
  found[#found + 1] = redis.call('HGET', tag .. 'sch:' .. app, id)
end
return found
