-- A profile: its head and what is in it; nothing where there is none. KEYS: tag. ARGV: id.
local head = redis.call('HGET', KEYS[1] .. 'heads', ARGV[1])
local content = redis.call('GET', KEYS[1] .. 'c:' .. ARGV[1])
if not head or not content then return false end
return {head, content}
