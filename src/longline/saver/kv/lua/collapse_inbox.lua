-- include: inbox.lua

-- Collapses what waits for a device under a collapse key: all of it, or what is before a position, if there is one.
local function collapse_inbox(app, place, collapse, now, before)
  local box = open_box(tag, 'i:', app, place)
  each_entry(box, function(at, flags)
    if not has(flags, COLLAPSES) or collapse_key_at(box.inbox, at) ~= collapse then return end
    local _, _, position = struct.unpack(ENTRY_HEAD, box.inbox, at)
    if not before or position < before then settle_entry(box, at, COLLAPSED, '', tonumber(now), 0) end
  end)
end
