-- How much waits for each device. KEYS: beginning of the keys. ARGV: app, now, places.
-- include: skipped.lua

local tag, app, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
local open = {}
if redis.call('SISMEMBER', tag .. 'gone', app) == 0 then
  for _, id in ipairs(redis.call('ZRANGE', tag .. 'b:' .. app, 0, -1)) do
    local row = redis.call('HGET', ledger_key(tag, app, id), id)
    local _, _, _, _, created, ttl = struct.unpack(ROW, row)
    if created + ttl > now then
      open[#open + 1] = { next = struct.unpack('>I4', row, NEXT_AT), over = tag .. 's:' .. id .. ':o' }
    end
  end
end

local counts = {}
for i = 3, #ARGV do
  local inbox, count = redis.call('GET', tag .. 'i:' .. app .. ':' .. ARGV[i]) or '', 0
  local at = skipped(inbox) + 1
  while at <= #inbox do
    local size, flags, _, expires = struct.unpack(ENTRY, inbox, at)
    if expires > now and not has(flags, DEAD) then count = count + 1 end
    at = at + size
  end
  for _, broadcast in ipairs(open) do
    if tonumber(ARGV[i]) < broadcast.next and redis.call('GETBIT', broadcast.over, ARGV[i]) == 0 then
      count = count + 1
    end
  end
  counts[#counts + 1] = count
end
return counts
