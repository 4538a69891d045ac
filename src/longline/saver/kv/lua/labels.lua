-- Labels of the devices of one partition; `saver/labels.py` says which there are. A label is a set of places,
-- `t:<app>:<kind>:<label>`: a SET while it has few members, which the server keeps as a sorted array, and from then on
-- a bitmap, at most a bit for each place, until it is empty.
-- An attribute's numbers are a HASH of kind NUMBER, place → digits, while they are few; from then on that is the bitmap
-- of who has one, and beside it are those of the bits, where they ever were set, until nobody has one. Digits are the 64
-- bits of a number in hexadecimal.

local FEW = 128 -- members of a SET: it takes less than a bitmap, and is made one in no time
local FEW_NUMBERS = 512 -- as many as the server keeps packed
local ALIAS, PLATFORM, NUMBER, ZONE, BIT = 1, 2, 5, 6, 64 -- kinds, as in saver/labels.py

local function label_key(tag, app, kind, label)
  return tag .. 't:' .. app .. ':' .. kind .. ':' .. label
end

-- The bitmap of places, which may come in any order.
local function bitmap_of(places)
  for i = 2, #places do
    if places[i] < places[i - 1] then
      table.sort(places)
      break
    end
  end
  local parts, at, i = {}, 0, 1
  while i <= #places do
    local byte, value = math.floor(places[i] / 8), 0
    parts[#parts + 1] = string.rep('\0', byte - at)
    while i <= #places and math.floor(places[i] / 8) == byte do
      value = bit.bor(value, bit.rshift(128, places[i] % 8))
      i = i + 1
    end
    parts[#parts + 1] = string.char(value)
    at = byte + 1
  end
  return table.concat(parts)
end

-- The members of a SET, none of one that is not there; nil for a bitmap.
local function members_of(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then return nil end
  if kind == 'none' then return {} end
  local members = redis.call('SMEMBERS', key)
  for i, member in ipairs(members) do members[i] = tonumber(member) end
  return members
end

local sizes = {} -- of sets that this script has put somebody in: how many members, false for a bitmap

local function put_in(key, place)
  local size = sizes[key]
  if size == nil then size = redis.call('TYPE', key).ok ~= 'string' and redis.call('SCARD', key) end
  if not size then
    redis.call('SETBIT', key, place, 1)
  elseif redis.call('SADD', key, place) == 1 then
    size = size + 1
    if size > FEW then
      redis.call('SET', key, bitmap_of(members_of(key))) -- in one command: whoever is cut short has lost nobody
      size = false
    end
  end
  sizes[key] = size
end

local function take_out(key, place)
  sizes[key] = nil
  if redis.call('TYPE', key).ok == 'string' then
    redis.call('SETBIT', key, place, 0)
    if redis.call('BITPOS', key, 1) == -1 then redis.call('DEL', key) end
  else
    redis.call('SREM', key, place)
  end
end

local keys_of = {} -- what `number_keys` has told this script, by the first

-- The keys of an attribute's numbers: who has one, then the bits from the highest.
local function number_keys(tag, app, name)
  local first = label_key(tag, app, NUMBER, name)
  local keys = keys_of[first]
  if not keys then
    keys = { first }
    for n = 63, 0, -1 do keys[65 - n] = label_key(tag, app, BIT + n, name) end
    keys_of[first] = keys
  end
  return keys
end

local reached = {} -- numbers whose bitmaps this script may write, by the first of their keys

-- Whether an attribute's numbers are bitmaps; all of them are reached then.
local function are_bitmaps(keys)
  if reached[keys[1]] then return true end
  if redis.call('TYPE', keys[1]).ok ~= 'string' then return false end
  redis.call('EXISTS', unpack(keys)) -- who is cut short by one of them has changed none
  reached[keys[1]] = true
  return true
end

-- The bits of a number, from the highest.
local function bits_of(digits)
  local bits = {}
  for n = 1, 16 do
    local digit, worth = tonumber(string.sub(digits, n, n), 16), 8
    for at = 4 * n - 3, 4 * n do
      if digit >= worth then
        bits[at], digit = 1, digit - worth
      else
        bits[at] = 0
      end
      worth = worth / 2
    end
  end
  return bits
end

-- Makes bitmaps of numbers that were few. The bitmap of all comes last: before it the others count for nothing.
local function spread(keys)
  local numbers = redis.call('HGETALL', keys[1])
  local places = {}
  for n = 0, 64 do places[n] = {} end
  for i = 1, #numbers, 2 do
    local place = tonumber(numbers[i])
    table.insert(places[0], place)
    for n, is_set in ipairs(bits_of(numbers[i + 1])) do
      if is_set == 1 then table.insert(places[n], place) end
    end
  end
  for n = 64, 0, -1 do
    if #places[n] > 0 then
      redis.call('SET', keys[n + 1], bitmap_of(places[n]))
    else
      redis.call('DEL', keys[n + 1])
    end
  end
end

-- Gives a device a number for an attribute, in place of an old one unless that is nil.
local function put_number(tag, app, name, place, old, digits)
  local keys = number_keys(tag, app, name)
  if not are_bitmaps(keys) then
    local more = redis.call('HSET', keys[1], place, digits) == 1
    if more and redis.call('HLEN', keys[1]) > FEW_NUMBERS then spread(keys) end
    return
  end
  local before = old and bits_of(old) or {}
  for n, is_set in ipairs(bits_of(digits)) do
    if is_set ~= (before[n] or 0) then redis.call('SETBIT', keys[n + 1], place, is_set) end
  end
  redis.call('SETBIT', keys[1], place, 1)
end

local function take_number(tag, app, name, place, old)
  local keys = number_keys(tag, app, name)
  if not are_bitmaps(keys) then
    redis.call('HDEL', keys[1], place)
    return
  end
  redis.call('SETBIT', keys[1], place, 0)
  for n, is_set in ipairs(bits_of(old)) do
    if is_set == 1 then redis.call('SETBIT', keys[n + 1], place, 0) end
  end
  if redis.call('BITPOS', keys[1], 1) == -1 then
    redis.call('DEL', unpack(keys))
    reached[keys[1]] = nil
  end
end

-- What a device is found by, from its labels and its index as kv/devices.py packs them: keys of sets, and digits of
-- numbers by the attribute's name.
local function found_by(tag, app, labels, index)
  local keys, numbers = {}, {}
  if labels and labels ~= '' then
    for kind, values in ipairs(cmsgpack.unpack(labels)) do
      for _, value in ipairs(values) do keys[label_key(tag, app, kind - 1, value)] = true end
    end
  end
  if index and index ~= '' then
    local kinds = cmsgpack.unpack(index)
    for kind = 1, 3 do
      for _, value in ipairs(kinds[kind]) do keys[label_key(tag, app, PLATFORM + kind - 1, value)] = true end
    end
    for _, zone in ipairs(kinds[5]) do keys[label_key(tag, app, ZONE, zone)] = true end
    for i = 1, #kinds[4], 2 do numbers[kinds[4][i]] = kinds[4][i + 1] end
  end
  return keys, numbers
end

local COMPARED = 8 -- what a number is worth, of labels, when work is counted

-- How many labels a device has.
local function count_labels(labels, index)
  local keys, numbers = found_by('', '', labels, index)
  local count = 0
  for _ in pairs(keys) do count = count + 1 end
  for _ in pairs(numbers) do count = count + COMPARED end
  return count
end

-- Has a device found by its new labels, and by none of the old ones.
local function relabel(tag, app, place, old_labels, old_index, labels, index)
  local old_keys, old_numbers = found_by(tag, app, old_labels, old_index)
  local keys, numbers = found_by(tag, app, labels, index)
  for key in pairs(old_keys) do
    if not keys[key] then take_out(key, place) end
  end
  for key in pairs(keys) do
    if not old_keys[key] then put_in(key, place) end
  end
  for name, digits in pairs(old_numbers) do
    if not numbers[name] then take_number(tag, app, name, place, digits) end
  end
  for name, digits in pairs(numbers) do
    if digits ~= old_numbers[name] then put_number(tag, app, name, place, old_numbers[name], digits) end
  end
end
