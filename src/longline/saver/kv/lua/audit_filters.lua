-- The index of an app's filters in one partition. Only reads. KEYS: tag. ARGV: app, entry behind which to go on ("" to
-- begin with), how many. Returns {entry behind which to go on or "", how many, {entries that no session has}}.
-- include: kept.lua
local tag, app = KEYS[1], ARGV[1]
if is_gone(tag, app) then return { '', 0, {} } end
local first = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local page = redis.call('ZRANGEBYLEX', tag .. 'mx:' .. app, first, '+', 'LIMIT', 0, ARGV[3])
local wrong = {}
for _, entry in ipairs(page) do
  local filter, place, number, options = string.match(entry, '^(.*)%z(%d+) (%d+) (.*)$')
  if not filter or redis.call('HGET', part_key(tag, 'mf:', app, place, number), filter) ~= options then
    wrong[#wrong + 1] = entry
  end
end
return { #page == tonumber(ARGV[3]) and page[#page] or '', #page, wrong }
