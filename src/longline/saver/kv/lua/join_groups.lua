-- Makes devices members of a group. KEYS: tag. ARGV: app, group, how many groups a device may have, 1 to do it, 0 to
-- look, 2 to put right who is a member; places. Returns for each 1 when it has come, 0 when it is a member, -1 when there
-- is no such device; and its name when it is in as many groups as it may.
-- include: groups.lua

local tag, app, group, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local gone = redis.call('SISMEMBER', tag .. 'gone', app) == 1
local label = label_key(tag, app, GROUP, group)
local codes = {}
for i = 5, #ARGV do
  local place, groups, is_member = tonumber(ARGV[i]), {}, false
  local key = tag .. 'd:' .. app .. ':' .. ARGV[i]
  if gone or redis.call('HEXISTS', key, 'c') == 0 then
    codes[#codes + 1] = -1
  else
    groups = groups_of(tag, app, place)
    for _, other in ipairs(groups) do is_member = is_member or other == group end
    if is_member then
      if ARGV[4] ~= '0' then put_in(label, place) end -- whoever was cut short in between
      codes[#codes + 1] = 0
    elseif #groups >= most then
      codes[#codes + 1] = redis.call('HGET', key, 'n')
    else
      if ARGV[4] == '1' then
        groups[#groups + 1] = group
        keep_groups(tag, app, place, groups)
        put_in(label, place)
      end
      codes[#codes + 1] = 1
    end
  end
end
return codes
