-- The last numbers of lanes. KEYS: tag. ARGV: apps. Returns one for each; '' where there never was an event.
local found = {}
for i, app in ipairs(ARGV) do
  found[i] = redis.call('HGET', KEYS[1] .. 'ua:' .. app, 'last') or ''
end
return found
