-- What the last call of an operation answered, for when that call is carried out again; a token tells calls
-- apart.

-- The answer to a call that was carried out before; nil when it was not.
local function answered(tag, operation, token)
  local last = redis.call('HGET', tag .. 'last', operation)
  if last and string.sub(last, 1, #token) == token then return string.sub(last, #token + 1) end
  return nil
end

local function remember(tag, operation, token, answer)
  redis.call('HSET', tag .. 'last', operation, token .. answer)
end
