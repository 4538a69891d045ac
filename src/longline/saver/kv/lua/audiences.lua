-- Whom an expression describes in this partition. An expression is as `model/audience.py` has it, in msgpack.
-- Returns how many places there are, how many of them it does not describe, and a function that puts those into a
-- set which is not there yet.
local function resolve(tag, app, expression)
  local kind = cmsgpack.unpack(expression).type
  local places = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
  if kind == 'all' then
    local deleted = places > 0 and redis.call('BITCOUNT', tag .. 'x:' .. app) or 0
    return places, deleted, function(set)
      if deleted > 0 then redis.call('COPY', tag .. 'x:' .. app, set, 'REPLACE') end
    end
  end
  error('there is no expression of the kind ' .. tostring(kind))
end
