-- Whom an expression describes in this partition, worked out as bitmaps of places. It comes as a list of steps in
-- msgpack, each of which leaves a bitmap on a stack (kv/audiences.py makes it):
--   all; has, kind, label, …: who has one of these labels; number, label, order, digits: whose number is that much;
--   or, n; and, n; none, n: of the last n.
-- What is worked with is gone when the script ends, and is neither replicated nor logged.
-- include: labels.lua

-- The bitmap of the places that are given, as text.
local function all_places(places)
  local rest = places % 8
  return string.rep('\255', (places - rest) / 8) .. (rest > 0 and string.char(256 - 2 ^ (8 - rest)) or '')
end

local AT_ONCE = 16 -- bitmaps: of no more the server takes many bytes in one step, and only where all of them are there

-- Leaves at `target` what an operation makes of bitmaps that are there; `goes_in`: of what is at `target`, too.
local function combine(operation, target, keys, goes_in)
  local first = 1
  if not goes_in then
    redis.call('BITOP', operation, target, unpack(keys, 1, math.min(AT_ONCE, #keys)))
    first = AT_ONCE + 1
  end
  while first <= #keys do
    local last = math.min(first + AT_ONCE - 2, #keys)
    redis.call('BITOP', operation, target, target, unpack(keys, first, last))
    first = last + 1
  end
end

local function solver(tag, app, places)
  local made = {} -- keys to be removed
  local function scratch(name)
    local key = tag .. 'q:' .. name
    made[key] = true
    return key
  end

  local function everyone(target)
    redis.call('SET', target, all_places(places))
    local deleted = tag .. 'x:' .. app
    if redis.call('EXISTS', deleted) == 1 then redis.call('BITOP', 'XOR', target, target, deleted) end
  end

  local function with_any(target, step)
    local keys, members = {}, {}
    for i = 3, #step do
      local key = label_key(tag, app, step[2], step[i])
      local few = members_of(key)
      if few then
        for _, place in ipairs(few) do members[#members + 1] = place end
      else
        keys[#keys + 1] = key
      end
    end
    local some = #members > 0 or #keys == 0
    if some then redis.call('SET', target, bitmap_of(members)) end
    combine('OR', target, keys, some)
  end

  -- Numbers that are few are compared one by one.
  local function compare_few(target, key, order, digits)
    local high, low = tonumber(string.sub(digits, 1, 8), 16), tonumber(string.sub(digits, 9), 16)
    local numbers, places = redis.call('HGETALL', key), {}
    for i = 1, #numbers, 2 do
      local other = numbers[i + 1]
      local more = tonumber(string.sub(other, 1, 8), 16) - high
      if more == 0 then more = tonumber(string.sub(other, 9), 16) - low end
      if
        more == 0 and (order == 'eq' or order == 'gte' or order == 'lte')
        or more > 0 and (order == 'gt' or order == 'gte')
        or more < 0 and (order == 'lt' or order == 'lte')
      then
        places[#places + 1] = tonumber(numbers[i])
      end
    end
    redis.call('SET', target, bitmap_of(places))
  end

  -- Many are compared bit by bit from the highest, a run of equal bits at a time. Whose bits are those of the number so
  -- far is the same; who then has a bit that it lacks is above. Behind the last bit of the number, the same are equal
  -- or above.
  local function compare_many(target, keys, order, digits)
    local bits, same, part = bits_of(digits), scratch('same'), scratch('part')
    local last = 64
    while last > 0 and bits[last] == 0 do last = last - 1 end
    local above = false -- whether there is something at `target`: who is above
    local function rise(key)
      combine('OR', target, { key }, above)
      above = true
    end
    -- Those of some bits that are there: nobody has the others.
    local function some_of(from, to)
      local found = {}
      for n = from, to do
        if redis.call('EXISTS', keys[n + 1]) == 1 then found[#found + 1] = keys[n + 1] end
      end
      return found
    end
    -- Whether some who are the same have one of these bits; they are at `part`.
    local function have_any(from, to)
      local found = some_of(from, to)
      if #found == 0 then return false end
      combine('OR', part, found)
      redis.call('BITOP', 'AND', part, part, same)
      return true
    end
    redis.call('COPY', keys[1], same, 'REPLACE')
    local n = 1
    while n <= last do
      local first = n
      while n <= last and bits[n] == bits[first] do n = n + 1 end
      if bits[first] == 0 then
        if have_any(first, n - 1) then
          rise(part)
          redis.call('BITOP', 'XOR', same, same, part)
        end
      else
        local found = some_of(first, n - 1)
        if #found == n - first then
          combine('AND', same, found, true)
        else
          redis.call('SET', same, '') -- nobody has all of them
          break
        end
      end
    end
    local more = have_any(last + 1, 64)
    if order == 'eq' then
      redis.call('COPY', same, target, 'REPLACE')
      if more then redis.call('BITOP', 'XOR', target, target, part) end
    elseif order == 'gte' or order == 'lt' then
      rise(same)
    elseif more then
      rise(part)
    end
    if order == 'lt' or order == 'lte' then
      combine('XOR', target, { keys[1] }, above)
    elseif order ~= 'eq' and not above then
      redis.call('DEL', target)
    end
  end

  local function compare(target, step)
    local keys = number_keys(tag, app, step[2])
    local kind = redis.call('TYPE', keys[1]).ok
    if kind == 'string' then
      compare_many(target, keys, step[3], step[4])
    elseif kind == 'hash' then
      compare_few(target, keys[1], step[3], step[4])
    else
      redis.call('DEL', target)
    end
  end

  -- Leaves the result at the key that it returns.
  local function solve(steps)
    local depth = 0
    for _, step in ipairs(steps) do
      local kind = step[1]
      local count = (kind == 'or' or kind == 'and' or kind == 'none') and step[2] or 0
      local of = {}
      for i = depth - count + 1, depth do of[#of + 1] = tag .. 'q:' .. i end
      depth = depth - count + 1
      local target = scratch(depth)
      if kind == 'all' then
        everyone(target)
      elseif kind == 'has' then
        with_any(target, step)
      elseif kind == 'number' then
        compare(target, step)
      elseif kind == 'or' then
        redis.call('BITOP', 'OR', target, unpack(of))
      elseif kind == 'and' then
        redis.call('BITOP', 'AND', target, unpack(of))
      elseif kind == 'none' then
        local rest, those = scratch('rest'), scratch('those')
        everyone(rest)
        redis.call('BITOP', 'OR', those, unpack(of))
        redis.call('BITOP', 'XOR', target, rest, those)
      else
        error('there is no expression of the kind ' .. tostring(kind))
      end
    end
    return tag .. 'q:1'
  end

  local function clear()
    for key in pairs(made) do redis.call('DEL', key) end
  end

  return solve, clear
end

-- Calls a function with the key of the bitmap of those whom an expression describes, of `places`; its answer.
local function described(tag, app, places, steps, use)
  redis.set_repl(redis.REPL_NONE)
  local solve, clear = solver(tag, app, places)
  local answer = use(solve(steps))
  clear()
  redis.set_repl(redis.REPL_ALL)
  return answer
end

-- How many places there are, how many of them an expression does not describe, and a function that puts those into a
-- set which is not there yet.
local function resolve(tag, app, expression)
  local steps = cmsgpack.unpack(expression)
  local places = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
  if #steps == 1 and steps[1][1] == 'all' then
    local deleted = places > 0 and redis.call('BITCOUNT', tag .. 'x:' .. app) or 0
    return places, deleted, function(set)
      if deleted > 0 then redis.call('COPY', tag .. 'x:' .. app, set, 'REPLACE') end
    end
  end
  if places == 0 then return 0, 0, function() end end
  local without
  local others = described(tag, app, places, steps, function(result)
    local rest = tag .. 'q:others'
    redis.call('SET', rest, all_places(places))
    redis.call('BITOP', 'XOR', rest, rest, result)
    without = redis.call('BITCOUNT', rest)
    local bitmap = redis.call('GET', rest)
    redis.call('DEL', rest)
    return bitmap
  end)
  return places, without, function(set) redis.call('SET', set, others) end
end
