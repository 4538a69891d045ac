-- Messages for one device, the latest first. KEYS: beginning of the keys. ARGV: app, place, id below which they are
-- (may be empty), how many, 1 for those that wait in the inbox and in the log, 0 for whatever the ledger has.
-- Returns {id down to which it has looked, empty for all the way, how many it looked at, {id, row, its sender's word or
-- false, delivery}, …}.
-- It looks at a bounded number of messages, whoever they are for.
-- include: inbox.lua
-- include: delivered.lua
-- include: id_order.lua

local BUCKETS, ROWS = 64, 1000 -- looked at in one call
local tag, app, place, before = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local limit, waiting = tonumber(ARGV[4]), ARGV[5] == '1'
if redis.call('SISMEMBER', tag .. 'gone', app) == 1 then return { '', 0 } end

local found, looked = {}, 0
local reached = '' -- the id down to which it has looked

-- Takes those of some ids that are for the device; true when it has looked at enough, or found enough.
local function take(ids)
  sort_latest_first(ids)
  for _, id in ipairs(ids) do
    if before == '' or is_below(id, before) then
      looked = looked + 1
      local row = redis.call('HGET', ledger_key(tag, app, id), id)
      local delivery = row and delivery_of(tag, id, row, place)
      if delivery and not (waiting and string.byte(delivery) % CONNECTED ~= PENDING) then
        found[#found + 1] = { id, row, redis.call('HGET', words_key(tag, app, id), id), delivery }
      end
      if #found > limit or looked == ROWS then
        reached = id
        return true
      end
    end
  end
  return false
end

if waiting then
  local ids = redis.call('ZRANGE', tag .. 'b:' .. app, 0, -1)
  local box, at = open_box(tag, 'i:', app, place), 1
  local size, flags = entry_at(box, at)
  while size do
    if not is_gone_entry(box, at, flags) then
      local _, _, _, _, id = struct.unpack(ENTRY, box.inbox, at)
      ids[#ids + 1] = id
    end
    at = at + size
    size, flags = entry_at(box, at)
  end
  take(ids)
  return { reached, looked, unpack(found) }
end

local from = before == '' and '+' or '[' .. string.sub(before, 1, 5)
local buckets = redis.call('ZREVRANGEBYLEX', tag .. 'lx:' .. app, from, '-', 'LIMIT', 0, BUCKETS)
for n, bucket in ipairs(buckets) do
  if take(redis.call('HKEYS', tag .. 'l:' .. app .. ':' .. bucket)) then break end
  if n == BUCKETS then reached = bucket .. string.rep('\0', 11) end
end
return { reached, looked, unpack(found) }
