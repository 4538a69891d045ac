-- include: once.lua

-- Members of a ZSET by when they are to be shown: those up to `before`; in a call that is carried out
-- again, those that it put off to `again` the first time.
local function to_show(tag, name, before, limit, again, token)
  local first, last = '-inf', before
  if answered(tag, name, token) then first, last = again, again end
  local found = redis.call('ZRANGEBYSCORE', tag .. name, first, last, 'LIMIT', 0, limit)
  if #found > 0 then remember(tag, name, token, '') end
  return found
end
