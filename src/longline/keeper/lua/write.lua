-- Keeps a value, or removes it.
-- KEYS: after the six, where the owner's last write is remembered
-- ARGV: number of the write, key, version that must be present or -1, 1 to keep and 0 to remove, value
-- Answers: 1 or 0 for a conflict, and the version: the new one, or the one in the way
-- include: common.lua

local MEMORY = KEYS[7]
local number, key, expected = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- The same write again, whose answer was lost on the way.
local before = redis.call('HMGET', MEMORY, 'number', 'done', 'version')
if before[1] == number then return {tonumber(before[2]), tonumber(before[3])} end

local kept = redis.call('HGET', VALUES, key)
local present = kept and tonumber(string.match(kept, '^%d+')) or 0
local removed = tonumber(redis.call('HGET', STATE, 'removed')) or 0
local done, version = 1, 0
if expected >= 0 and expected ~= present then
  done, version = 0, present
elseif ARGV[4] == '1' then
  -- A value that comes back after its removal goes on above every version that was removed.
  version = (present > 0 and present or removed) + 1
  redis.call('HSET', VALUES, key, string.format('%d', version) .. '\n' .. ARGV[5])
  redis.call('HINCRBY', STATE, 'written', 1)
elseif kept then
  redis.call('HDEL', VALUES, key)
  redis.call('HSET', STATE, 'removed', math.max(removed, present))
  redis.call('HINCRBY', STATE, 'written', 1)
end
redis.call('HSET', MEMORY, 'number', number, 'done', done, 'version', version)
redis.call('PEXPIRE', MEMORY, 60000)
return {done, version}
