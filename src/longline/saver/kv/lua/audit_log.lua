-- The logs of an app in one partition with the rows of their broadcasts. Only reads. KEYS: tag. ARGV: app.
-- Returns {{name of the log, id, position, row or false}, …; and {"due", "", when the app is due or false,
-- when its first bucket is or false}}.
-- include: broadcast.lua

local tag, app = KEYS[1], ARGV[1]
local found = {}
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return found end
for _, log in ipairs({ 'b:', 'bo:', 'bh:', 'be:' }) do
  local entries = redis.call('ZRANGE', tag .. log .. app, 0, -1, 'WITHSCORES')
  for n = 1, #entries, 2 do
    local id = entries[n]
    found[#found + 1] = { log, id, entries[n + 1], redis.call('HGET', ledger_key(tag, app, id), id) }
  end
end
local first = redis.call('ZRANGE', tag .. 'due:' .. app, 0, 0, 'WITHSCORES')[2]
found[#found + 1] = { 'due', '', redis.call('ZSCORE', tag .. 'due', app), first or false }
return found
