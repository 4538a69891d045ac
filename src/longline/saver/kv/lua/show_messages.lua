-- Where several messages stand in one partition. KEYS: beginning of the keys. ARGV: app, ids.
-- Returns for each: false when it is not there; else {row, its sender's word for it or false, then what standing.lua
-- says}.
-- include: standing.lua

local tag, app = KEYS[1], ARGV[1]
local gone = redis.call('SISMEMBER', tag .. 'gone', app) == 1
local replies = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local row = not gone and redis.call('HGET', ledger_key(tag, app, id), id)
  local found = false
  if row then
    found = { row, redis.call('HGET', words_key(tag, app, id), id) }
    add_standing(tag, id, string.sub(row, 1, 1), found)
  end
  replies[i - 1] = found
end
return replies
