-- Removes retained messages that are over. KEYS: tag. ARGV: now, limit, token of this call. Returns how many.
-- include: retained.lua
-- include: once.lua

local APPS = 16 -- looked at in one call
local tag, now, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local before = answered(tag, 'expire_retained', ARGV[3])
if before then return tonumber(before) end
local done = 0
for _, app in ipairs(redis.call('ZRANGEBYSCORE', tag .. 'rd', '-inf', now, 'LIMIT', 0, APPS)) do
  for _, topic in ipairs(redis.call('ZRANGEBYSCORE', tag .. 're:' .. app, '-inf', now, 'LIMIT', 0, limit - done)) do
    forget(tag, app, topic, size_at(tag, app, topic))
    done = done + 1
  end
  note_due(tag, app)
end
if done > 0 then remember(tag, 'expire_retained', ARGV[3], done) end
return done
