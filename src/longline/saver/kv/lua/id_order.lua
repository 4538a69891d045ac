-- Message ids by their bytes, which are compared as numbers: how Lua orders strings is a matter of the server's locale.

local ID = '>I5I6I5'

local function is_below(one, other)
  local a, b, c = struct.unpack(ID, one)
  local x, y, z = struct.unpack(ID, other)
  if a ~= x then return a < x end
  if b ~= y then return b < y end
  return c < z
end

local function sort_latest_first(ids)
  table.sort(ids, function(one, other) return is_below(other, one) end)
end
