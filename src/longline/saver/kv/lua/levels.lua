local function levels_of(text)
  local levels, from = {}, 1
  while true do
    local slash = string.find(text, '/', from, true)
    levels[#levels + 1] = string.sub(text, from, (slash or 0) - 1)
    if not slash then return levels end
    from = slash + 1
  end
end
