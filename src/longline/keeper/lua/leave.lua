-- Takes members of an owner off the lists.
-- ARGV: owner, the members
-- include: common.lua

for i = 2, #ARGV do
  if owns(ARGV[1], ARGV[i]) then remove(ARGV[i]) end
end
return 1
