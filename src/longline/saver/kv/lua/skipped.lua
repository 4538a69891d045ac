-- include: formats.lua

-- How many bytes nobody needs to read at the beginning of an inbox: see inbox.lua.
local function skipped(inbox)
  if inbox == '' then return 0 end
  local _, flags, _, skip = struct.unpack(ENTRY, inbox)
  return has(flags, DEAD) and skip or 0
end
