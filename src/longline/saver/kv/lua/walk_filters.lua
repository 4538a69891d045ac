-- Filters that sessions here have, in order. KEYS: tag. ARGV: app, filter behind which to begin ("" at the first), limit.
-- include: kept.lua

local index, after, found = KEYS[1] .. 'mx:' .. ARGV[1], ARGV[2], {}
if is_gone(KEYS[1], ARGV[1]) then return found end
while #found < tonumber(ARGV[3]) do
  local first = after == '' and '-' or '(' .. after .. '\1'
  local entry = redis.call('ZRANGEBYLEX', index, first, '+', 'LIMIT', 0, 1)[1]
  if not entry then break end
  after = string.match(entry, '^[^%z]*')
  found[#found + 1] = after
end
return found
