-- How a session is without a connection: `kept.lua` and `wills.lua` are to be there.

local FOREVER = '4294967295'

-- When a session that is without a connection since `now` is over; nil for never.
local function end_of(expires_in, now)
  return expires_in ~= FOREVER and now + 1000 * tonumber(expires_in) or nil
end

-- Notes that a session has no connection, and when it is over.
local function disconnect(session, expires_in, ends_at, given_up)
  detach(session)
  redis.call('HDEL', session.key, 'h', 'd', 'g')
  redis.call('HSET', session.key, 'x', expires_in)
  if given_up then redis.call('HSET', session.key, 'g', 1) end
  if ends_at then
    local digits = string.format('%.0f', ends_at)
    redis.call('HSET', session.key, 'd', digits)
    redis.call('ZADD', session.tag .. 'me', digits, session.member)
  end
end
