-- Timers of all apps that are due, of each those due longest. KEYS: tag. ARGV: now, how many, how many bytes
-- of them (but one of each app in any case).
-- Returns {how many there are that will be due some time, app, id, timer, app, …}.
-- include: timers.lua

local APPS = 100 -- looked at in one call
local tag, now, limit, bytes = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = { tonumber(redis.call('GET', tag .. 'schw') or 0) }
local apps = redis.call('ZRANGEBYSCORE', tag .. 'schs', '-inf', now, 'LIMIT', 0, math.min(limit, APPS))
for _, app in ipairs(apps) do
  if is_gone(tag, app) then
    redis.call('ZREM', tag .. 'schs', app)
  else
    local share, left = math.max(1, math.floor(limit / #apps)), bytes / #apps
    for i, id in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'schd:' .. app, '-inf', now, 'LIMIT', 0, share)) do
      left = left - redis.call('HSTRLEN', tag .. 'sch:' .. app, id)
      if i > 1 and left < 0 then break end
      found[#found + 1] = app
      found[#found + 1] = id
      found[#found + 1] = redis.call('HGET', tag .. 'sch:' .. app, id)
    end
  end
end
return found
