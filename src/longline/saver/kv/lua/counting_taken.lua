-- include: ledger.lua
-- include: counting.lua

-- Counts what devices have taken in this script.
local function count_taken(tag, at)
  for app, n in pairs(taken) do
    if n > 0 then count(tag, app, at, 'd', n) end
  end
end
