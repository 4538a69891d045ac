-- Topics in the order of their bytes, and which of them a filter has to look at: saver/topic_order.py says why.
-- A server may compare texts by the rules of some language, so that `<` is not to be used on them here.
-- include: levels.lua

local function before(one, other)
  for i = 1, math.min(#one, #other) do
    local left, right = string.byte(one, i), string.byte(other, i)
    if left ~= right then return left < right end
  end
  return #one < #other
end

-- The first topic that begins with one and matches the levels from an index on, or what stands before that.
local function extended(topic, levels, index)
  for i = index, #levels do
    if levels[i] == '#' then break end
    if levels[i] == '+' then return topic .. '/' end
    topic = topic .. '/' .. levels[i]
  end
  return topic
end

-- Behind everything below the name that the last `+` of the first levels stands for; '' when there is none.
local function sibling(levels, count, names)
  for i = count, 1, -1 do
    if levels[i] == '+' then return table.concat(names, '/', 1, i) .. '0' end
  end
  return ''
end

-- Nil when a topic matches a filter's levels; else before what no later topic can, '' when none can.
local function following(levels, topic)
  local first = levels[1]
  if (first == '+' or first == '#') and string.sub(topic, 1, 1) == '$' then return '%' end
  local names = levels_of(topic)
  for i, level in ipairs(levels) do
    if level == '#' then return nil end
    if i > #names then
      if levels[i - 1] == '+' then return topic .. '\0' end
      return extended(topic, levels, i)
    end
    if level ~= '+' and level ~= names[i] then
      local rest = table.concat(names, '/', i)
      local path = string.sub(topic, 1, #topic - #rest)
      if before(rest, level) then return extended(path .. level, levels, i + 1) end
      local below = levels[i + 1]
      if below and before(rest, level .. '/') then
        return below == '#' and path .. level .. '/' or extended(path .. level, levels, i + 1)
      end
      return sibling(levels, i - 1, names)
    end
  end
  if #levels == #names then return nil end
  return sibling(levels, #levels, names)
end
