-- Ids of the messages of one partition, the latest first. KEYS: beginning of the keys. ARGV: app, id below which they
-- are, id at which they end (each may be empty), sender's word that they have (empty: any), how many.
-- Returns {id down to which it has looked, empty for all the way, ids}. It looks at whole buckets, and at no more of
-- them once it has looked at enough.
-- include: formats.lua
-- include: id_order.lua

local BUCKETS, ROWS = 64, 1000 -- looked at in one call
local tag, app, before, least, word = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local limit = tonumber(ARGV[5])
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '', {} } end

local from = before == '' and '+' or '[' .. string.sub(before, 1, 5)
local to = least == '' and '-' or '[' .. string.sub(least, 1, 5)
local buckets = redis.call('ZREVRANGEBYLEX', tag .. 'lx:' .. app, from, to, 'LIMIT', 0, BUCKETS)
local found, looked = {}, 0

for n, bucket in ipairs(buckets) do
  local ids
  if word == '' then
    ids = redis.call('HKEYS', tag .. 'l:' .. app .. ':' .. bucket)
  else
    ids = {}
    local words = redis.call('HGETALL', tag .. 'lw:' .. app .. ':' .. bucket)
    for i = 1, #words, 2 do
      if words[i + 1] == word then ids[#ids + 1] = words[i] end
    end
    looked = looked + #words / 2
  end
  looked = looked + #ids
  sort_latest_first(ids)
  for _, id in ipairs(ids) do
    if (before == '' or is_below(id, before)) and (least == '' or not is_below(id, least)) then
      found[#found + 1] = id
      if #found == limit then return { id, found } end
    end
  end
  if looked >= ROWS or n == BUCKETS then return { bucket .. string.rep('\0', 11), found } end
end
return { '', found }
