-- Which topics with retained messages match filters. KEYS: tag. ARGV: how many topics may be looked at for each; then
-- for each: app, filter, where to begin, limit.
-- Returns for each {where to go on, or "" at the end, topic, bytes that it counts, …}, topics rising.
-- include: topic_order.lua
-- include: retained.lua

local LEAST, MOST = 8, 256 -- topics asked for at once: twice as many each time, while few are in vain
local tag, most_looks = KEYS[1], tonumber(ARGV[1])

local function walk(app, filter, at, limit)
  if is_gone(tag, app) then return { '' } end
  local key, levels = tag .. 'rt:' .. app, levels_of(filter)
  local found, chunk, looks = { '' }, LEAST, most_looks
  while looks > 0 do
    chunk = math.min(chunk, looks)
    local topics = redis.call('ZRANGEBYLEX', key, '[' .. at, '+', 'LIMIT', 0, chunk)
    looks = looks - math.max(1, #topics)
    local in_vain, jumped = 0, false
    for _, topic in ipairs(topics) do
      if jumped and before(topic, at) then
        in_vain = in_vain + 1
      else
        local seek = following(levels, topic)
        if seek == '' then return found end
        jumped = seek ~= nil
        at = seek or topic .. '\0'
        if not seek then
          found[#found + 1] = topic
          found[#found + 1] = size_at(tag, app, topic)
          if #found > 2 * limit then
            found[1] = at
            return found
          end
        end
      end
    end
    if #topics < chunk then return found end
    chunk = in_vain > chunk / 2 and LEAST or math.min(MOST, 2 * chunk)
  end
  found[1] = at
  return found
end

local replies = {}
for i = 2, #ARGV, 4 do
  replies[#replies + 1] = walk(ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]))
end
return replies
