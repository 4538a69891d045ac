-- Puts a webhook in the place of another, and does to dead events what goes with it.
-- KEYS: tag. ARGV: app, version before (0: there is none), version, webhook, the most dead events that are kept, their
-- most bytes, how many are given up, taken, and refused; then number and event of the first, and numbers of the others.
-- Returns 1, or 0 when there is no such one.
-- include: webhooks.lua

local tag, app, before, version, body = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if is_gone(tag, app) then return 0 end
local key = tag .. 'wh:' .. app
local present, told = unpack(redis.call('HMGET', key, 'v', 'b'))
if present == version and told == body then return 1 end -- this call is carried out again
if (present or '0') ~= before then return 0 end
redis.call('HSET', key, 'v', version, 'b', body)
redis.call('ZADD', tag .. 'whs', app, app)
local given_up, taken, refused = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local at = 10
for _ = 1, given_up do
  forget_dead(tag, app, ARGV[at])
  add_dead(tag, app, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, at + taken - 1 do
  forget_dead(tag, app, ARGV[i])
end
for i = at + taken, at + taken + refused - 1 do
  redis.call('ZREM', tag .. 'whr:' .. app, ARGV[i])
end
if given_up > 0 then keep_dead(tag, app, tonumber(ARGV[5]), tonumber(ARGV[6])) end
return 1
