-- include: more.lua
local word = 'FENCED'
