-- Sessions get filters, or lose them. KEYS: tag. ARGV: token of this call, how long its answer is kept (ms), then for
-- each: app, place, number, epoch, filter, options with identifier ("" to lose it).
-- Returns for each 1 when the session had the filter, else 0; -1 when another number or epoch has it, or nobody.
-- include: kept.lua
-- include: repeated.lua

local tag, token = KEYS[1], ARGV[1]
local before = earlier(tag, token)
if before then return before end
local answer = {}
for i = 3, #ARGV, 6 do
  local app, place, number, epoch, filter, options = unpack(ARGV, i, i + 5)
  local session = not is_gone(tag, app) and find_session(tag, app, place)
  if session and session.number == number and session.epoch == epoch then
    local filters, index = part_key(tag, 'mf:', app, place, number), tag .. 'mx:' .. app
    redis.call('EXISTS', filters, index, tag .. 'mv') -- see `touch` in kept.lua
    local had = redis.call('HGET', filters, filter)
    if options ~= '' then
      redis.call('ZADD', index, 0, index_entry(filter, place, number, options))
      redis.call('HSET', filters, filter, options)
    elseif had then
      redis.call('HDEL', filters, filter)
    end
    if had and had ~= options then lose_filter(tag, app, filter, place, number, had) end
    answer[#answer + 1] = had and 1 or 0
  else
    answer[#answer + 1] = -1
  end
end
return keep_answer(tag, token, ARGV[2], answer)
