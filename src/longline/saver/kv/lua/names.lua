-- A page of a set of names.

-- Names from one bound to another, at most `limit`: {the last of them when there may be more or false, names}.
local function page_of_names(key, from, to, limit)
  local names = redis.call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, limit)
  return { #names == tonumber(limit) and names[#names], names }
end
