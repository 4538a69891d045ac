-- Groups of an app that have their home in this partition. Only reads. KEYS: tag. ARGV: app, where to go on in their names
-- ("" to begin with), how many.
-- Returns {name behind which to go on or "", for each: {name, number or false, latest sequence, bytes, members as noted,
-- the highest sequence that is known, bytes before the latest of its history, 1 when it is being deleted}}.
local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '' } end
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local names = redis.call('ZRANGEBYLEX', tag .. 'gn:' .. app, from, '+', 'LIMIT', 0, ARGV[3])
local found = { #names == tonumber(ARGV[3]) and names[#names] or '' }
for _, name in ipairs(names) do
  local group = redis.call('HMGET', tag .. 'gp:' .. app .. ':' .. name, 'i', 's', 'u', 'm', 'x')
  local known, before = 0, 0
  if group[1] then
    local latest = redis.call('ZRANGE', tag .. 'gi:' .. app .. ':' .. group[1], -1, -1, 'WITHSCORES')
    known = tonumber(latest[2] or 0)
    local said = redis.call('LINDEX', tag .. 'gh:' .. app .. ':' .. group[1], -1)
    if said then before = select(2, struct.unpack('>I6I6', said)) end
  end
  found[#found + 1] = {
    name, group[1], tonumber(group[2] or 0), tonumber(group[3] or 0), tonumber(group[4] or 0), known, before,
    group[5] and 1 or 0,
  }
end
return found
