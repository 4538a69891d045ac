-- Ledgers of one partition with what has to agree with them, some buckets at a time. Only reads. KEYS: tag.
-- ARGV: app, bucket behind which to go on ("" for the first), how many buckets.
-- Returns {next bucket or "", for each bucket: {its name, when it is due or false, {ids with a word}, {for each row:
-- {id, row, 1 when its body lies apart; then by kind u: 1 when it waits in the inbox; m: {place, delivery, 1 when it
-- waits, …}; b: {positions in b:, bo:, bh:, be:, 1 when it is under its collapse key, stored at in br:, how many
-- sub-tasks}, {label, set, …}}}}}.
-- include: inbox.lua
-- include: broadcast.lua

local tag, app = KEYS[1], ARGV[1]
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '' } end

local function waits(place, position, id)
  local box, at = find_box(tag, app, place, position)
  if not box then return 0 end
  local _, _, _, _, of = struct.unpack(ENTRY, box.inbox, at)
  return of == id and 1 or 0
end

local function facts_of(id, row)
  local kind, flags, _, position = struct.unpack(ROW, row)
  local facts = { id, row, redis.call('EXISTS', tag .. 'm:' .. id) }
  if kind == 'u' then
    facts[4] = waits(string.format('%.0f', struct.unpack('>I4', row, PLACE_AT)), position, id)
  elseif kind == 'm' then
    local deliveries, told = redis.call('HGETALL', tag .. 'L:' .. id), {}
    for n = 1, #deliveries, 2 do
      told[#told + 1] = deliveries[n]
      told[#told + 1] = deliveries[n + 1]
      told[#told + 1] = waits(deliveries[n], position, id)
    end
    facts[4] = told
  elseif kind == 'b' then
    local collapse = string.sub(row, COLLAPSE_AT)
    facts[4] = {
      redis.call('ZSCORE', tag .. 'b:' .. app, id), redis.call('ZSCORE', tag .. 'bo:' .. app, id),
      redis.call('ZSCORE', tag .. 'bh:' .. app, id), redis.call('ZSCORE', tag .. 'be:' .. app, id),
      collapse ~= '' and redis.call('SISMEMBER', collapsible(tag, app, collapse), id) or 0,
      redis.call('ZSCORE', tag .. 'br', app .. ':' .. id), redis.call('HLEN', tag .. 'k:' .. id),
    }
    local sets, labels = {}, { 'o', 'w', 'a', 'e', 'c' }
    for _, reason in ipairs(redis.call('SMEMBERS', tag .. 'r:' .. id)) do labels[#labels + 1] = 'd' .. reason end
    for _, label in ipairs(labels) do
      sets[#sets + 1] = label
      sets[#sets + 1] = redis.call('GET', set_key(tag, id, label)) or ''
    end
    facts[5] = sets
  end
  return facts
end

local first = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local buckets = redis.call('ZRANGEBYLEX', tag .. 'lx:' .. app, first, '+', 'LIMIT', 0, ARGV[3])
local found = { #buckets == tonumber(ARGV[3]) and buckets[#buckets] or '' }
for _, bucket in ipairs(buckets) do
  local rows, facts = redis.call('HGETALL', tag .. 'l:' .. app .. ':' .. bucket), {}
  for n = 1, #rows, 2 do facts[#facts + 1] = facts_of(rows[n], rows[n + 1]) end
  local due = redis.call('ZSCORE', tag .. 'due:' .. app, bucket)
  found[#found + 1] = { bucket, due, redis.call('HKEYS', tag .. 'lw:' .. app .. ':' .. bucket), facts }
end
return found
