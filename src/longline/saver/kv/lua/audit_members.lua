-- Members of an index of one partition that lead to nothing. Only reads. KEYS: tag, the index. ARGV: its kind, where to go
-- on ("0" to begin with), how many. Returns {where to go on, how many it looked at, {members that lead to nothing}}.
-- include: inbox.lua

local tag, key, kind = KEYS[1], KEYS[2], ARGV[1]
local rest = string.sub(key, #tag + #kind + 2) -- what follows the kind and a colon
local is_gone = {}

local function gone(app)
  if is_gone[app] == nil then is_gone[app] = redis.call('SISMEMBER', tag .. 'gone', app) == 1 end
  return is_gone[app]
end

local function binding_of(member)
  local app, device = string.match(member, '^(%d+)/(.*)$')
  if not app then return nil end
  if gone(app) then return true end
  return redis.call('HGET', tag .. 'w:' .. app, device)
end

local function session_of(member, field)
  if gone(string.match(member, '^%d+') or '') then return true end
  return redis.call('HGET', tag .. 'ms:' .. member, field)
end

local leads = {}

-- Who is connected to a node is bound to it.
function leads.at(member)
  local binding = binding_of(member)
  if not binding or binding == true then return binding == true end
  local due, node = string.match(binding, '^%d+ %d+ (%d+) (.*)$')
  return due == '0' and node == rest
end

-- Who lingers does so until then.
function leads.linger(member, score)
  local binding = binding_of(member)
  if not binding or binding == true then return binding == true end
  return tonumber(string.match(binding, '^%d+ %d+ (%d+) ')) == tonumber(score)
end

-- A session that is kept is connected to the node.
function leads.mn(member)
  local node = session_of(member, 'h')
  return node == true or node == rest
end

-- A session ends then.
function leads.me(member, score)
  local ends_at = session_of(member, 'd')
  return ends_at == true or tonumber(ends_at or -1) == tonumber(score)
end

-- Something waits for a device under a collapse key.
function leads.c(place)
  local app, collapse = string.match(rest, '^(%d+):(.*)$')
  if not app or gone(app) then return true end
  local box, found = open_box(tag, 'i:', app, place), false
  each_entry(box, function(at, flags)
    found = found or has(flags, COLLAPSES) and collapse_key_at(box.inbox, at) == collapse
  end)
  return found
end

-- What is to be routed again waits in an inbox.
function leads.unr(member)
  local app, place, position = string.match(member, '^(%d+):(%d+):(%d+)$')
  if not app then return false end
  return gone(app) or find_box(tag, app, place, tonumber(position)) ~= nil
end

local stored = redis.call('TYPE', key).ok
local wrong, looked = {}, 0
if stored == 'none' then return { '0', 0, wrong } end
local page = redis.call(stored == 'zset' and 'ZSCAN' or 'SSCAN', key, ARGV[2], 'COUNT', ARGV[3])
local step = stored == 'zset' and 2 or 1
for n = 1, #page[2], step do
  looked = looked + 1
  if not leads[kind](page[2][n], step == 2 and page[2][n + 1] or nil) then wrong[#wrong + 1] = page[2][n] end
end
return { page[1], looked, wrong }
