-- include: devices.lua
-- include: groups.lua
-- include: drop_pending.lua
-- include: kept.lua
-- include: wills.lua

-- Takes all that there is of a device out of its partition. `state`: d when it is deleted, o when it is retired;
-- `names_kept`: for how long (ms) ledgers may speak of it. Returns the number of the event of that.
local function remove_device(tag, app, name, place, now, state, reason, names_kept)
  local key = device_key(tag, app, place)
  drop_pending(tag, app, place, reason, now)
  local session = find_session(tag, app, place)
  if session then end_session(session) end
  forget_wills(tag, app .. ':' .. place)
  local row = redis.call('HMGET', key, 't', 'i')
  relabel(tag, app, place, row[1], row[2], '', '')
  leave_groups(tag, app, place)
  redis.call('DEL', tag .. 'sd:' .. app .. ':' .. place, tag .. 'hc:' .. app .. ':' .. place)
  redis.call('SREM', tag .. 'sp:' .. app, place)
  redis.call('HDEL', key, 'c', 'l', 'b', 't', 'p', 'i', 'gd', 'ge', 'gc', 'gs', 'gt', 'v', 'e', 'ks')
  redis.call('PEXPIRE', key, names_kept)
  redis.call('SETBIT', tag .. 'x:' .. app, place, 1)
  local number = tell_change(tag, app, name, state, now)
  count(tag, app, now, 'g', 1)
  redis.call('HDEL', tag .. 'n:' .. app, name)
  redis.call('ZREM', tag .. 'ns:' .. app, name)
  return number
end
