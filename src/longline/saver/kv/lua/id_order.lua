-- Message ids by their bytes, which are compared as numbers: how Lua orders strings is a matter of the server's locale.

local ID = '>I5I6I5'

local function is_below(one, other)
  local a, b, c = struct.unpack(ID, one)
  local x, y, z = struct.unpack(ID, other)
  if a ~= x then return a < x end
  if b ~= y then return b < y end
  return c < z
end

-- Each is taken apart once, however often it is compared.
local function sort_latest_first(ids)
  local first, second, third = {}, {}, {}
  for _, id in ipairs(ids) do first[id], second[id], third[id] = struct.unpack(ID, id) end
  table.sort(ids, function(one, other)
    if first[one] ~= first[other] then return first[one] > first[other] end
    if second[one] ~= second[other] then return second[one] > second[other] end
    return third[one] > third[other]
  end)
end
