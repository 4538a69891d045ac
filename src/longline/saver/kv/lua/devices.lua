-- Devices of one partition. `tag` is what the keys of the partition begin with, as "{p17}"; `place` is a device's
-- local ordinal. `n:<app>` is a hash of names and places, `next:<app>` the place that the next device gets, `given`
-- a hash of apps and the server that gave their latest places. A device's hash `d:<app>:<place>` has n name, c created at (ms), l log cursor, b banned until (ms), t labels
-- (msgpack), p the rest of the profile (JSON); what says nothing is absent. Of a deleted device only n stays
-- for a while, and its bit in `x:<app>`, which places have too that are skipped. A label is a set of places, in chunks: `t:<app>:<kind>:<chunk>:<label>`.

local CHUNK = 512 -- as many as the server keeps in a sorted array of small integers

local function device_key(tag, app, place)
  return tag .. 'd:' .. app .. ':' .. place
end

local function label_key(tag, app, kind, chunk, value)
  return tag .. 't:' .. app .. ':' .. kind .. ':' .. chunk .. ':' .. value
end

-- The keys of the label sets that a device is in.
local function label_keys(tag, app, place, labels)
  local keys = {}
  if labels and labels ~= '' then
    for kind, values in ipairs(cmsgpack.unpack(labels)) do
      for _, value in ipairs(values) do
        keys[#keys + 1] = label_key(tag, app, kind - 1, math.floor(place / CHUNK), value)
      end
    end
  end
  return keys
end

-- Adds a device to the sets of its labels (SADD), or removes it (SREM); returns how many they are.
local function label(command, tag, app, place, labels)
  local keys = label_keys(tag, app, place, labels)
  for _, key in ipairs(keys) do redis.call(command, key, place % CHUNK) end
  return #keys
end

-- Puts another profile in the place of the one that a device has.
local function replace_profile(tag, app, place, old, labels, rest)
  local key = device_key(tag, app, place)
  if old ~= labels then
    label('SREM', tag, app, place, old)
    label('SADD', tag, app, place, labels)
    if labels == '' then redis.call('HDEL', key, 't') else redis.call('HSET', key, 't', labels) end
  end
  if rest == '' then redis.call('HDEL', key, 'p') else redis.call('HSET', key, 'p', rest) end
end

local SKIPPED = 4096 -- places, more than a store that forgets can have given in the seconds that it forgets
local server -- that carries this out

-- The place of the next device. A server that took over, or started again, may not know of the latest that were given,
-- while rooms and ledgers do; so it goes on well above those that it knows of.
local function next_place(tag, app)
  local place = tonumber(redis.call('GET', tag .. 'next:' .. app) or 0)
  server = server or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local given_by = redis.call('HGET', tag .. 'given', app)
  if given_by == server then return place end
  if given_by then
    local nobody, first = tag .. 'x:' .. app, place
    place = place + SKIPPED - place % 8
    while first % 8 > 0 do
      redis.call('SETBIT', nobody, first, 1)
      first = first + 1
    end
    redis.call('SETRANGE', nobody, first / 8, string.rep('\255', (place - first) / 8))
  end
  redis.call('HSET', tag .. 'given', app, server)
  return place
end

-- Registers a new device; its place. Nobody finds it before its name is written, which comes last.
local function add_device(tag, app, name, now)
  local counter = tag .. 'next:' .. app
  local place = next_place(tag, app)
  local key = device_key(tag, app, place)
  redis.call('HSET', key, 'n', name, 'c', now)
  -- A device is in no audience of the past, so its cursor starts at the end of the log.
  local position = redis.call('GET', tag .. 'pos')
  if position then redis.call('HSET', key, 'l', position) end
  redis.call('SET', counter, place + 1)
  redis.call('HSET', tag .. 'n:' .. app, name, place)
  return place
end
