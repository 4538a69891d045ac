-- Devices of one partition. `tag` is what the keys of the partition begin with, as "{p17}"; `place` is a device's
-- local ordinal. `n:<app>` is a hash of names and places, `ns:<app>` a sorted set of the names, all with score 0, `next:<app>` the place that the next device gets, `given`
-- a hash of apps and the server that gave their latest places. A device's hash `d:<app>:<place>` has n name, c created at (ms), l log cursor, b banned until (ms), t labels
-- (msgpack), p the rest of the profile (JSON), i what of that is indexed (msgpack); what says nothing is
-- absent; v when and how it came, e when it was gone (see kv/visits.py); gd, ge, gc, gs what it misses (see ledger.lua),
-- and gt up to which end of a broadcast it was told of that; ks what it has not acknowledged (kv/parking.py). Of a
-- deleted device only n stays for a while, and its bit in `x:<app>`, which places have too that are skipped.
-- include: labels.lua
-- include: changes.lua
-- include: counting.lua

local function device_key(tag, app, place)
  return tag .. 'd:' .. app .. ':' .. place
end

local PROFILE = { 't', 'p', 'i' } -- fields of a device's hash

-- Puts another profile in the place of the one that a device has; when it was created. `new`: it has none, and that is
-- not looked up.
local function replace_profile(tag, app, place, labels, rest, index, new)
  local key = device_key(tag, app, place)
  local old = new and {} or redis.call('HMGET', key, 't', 'p', 'i', 'c')
  local old_labels, old_index = old[1] or '', old[3] or ''
  if old_labels ~= labels or old_index ~= index then
    relabel(tag, app, place, old_labels, old_index, labels, index)
  end
  local said, unsaid = {}, {}
  for n, value in ipairs({ labels, rest, index }) do
    if value ~= '' then
      said[#said + 1] = PROFILE[n]
      said[#said + 1] = value
    elseif old[n] then
      unsaid[#unsaid + 1] = PROFILE[n]
    end
  end
  if #said > 0 then redis.call('HSET', key, unpack(said)) end
  if #unsaid > 0 then redis.call('HDEL', key, unpack(unsaid)) end
  return old[4]
end

local SKIPPED = 4096 -- places, more than a store that forgets can have given in the seconds that it forgets
local server -- that carries this out

local places = {} -- of the next device of each app that this script has registered one of
local log_end -- that devices begin at, once it is known

-- The place of the next device. A server that took over, or started again, may not know of the latest that were given,
-- while rooms and ledgers do; so it goes on well above those that it knows of.
local function next_place(tag, app)
  if places[app] then return places[app] end
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
  log_end = log_end or redis.call('GET', tag .. 'pos') or '0'
  if log_end ~= '0' then redis.call('HSET', key, 'l', log_end) end
  redis.call('SET', counter, place + 1)
  places[app] = place + 1
  redis.call('ZADD', tag .. 'ns:' .. app, 0, name)
  redis.call('HSET', tag .. 'n:' .. app, name, place)
  tell_change(tag, app, name, 'r', now)
  count(tag, app, now, 'n', 1)
  return place
end
