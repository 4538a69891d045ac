-- include: words.lua
-- include: more.lua
return redis.error_reply(word .. ' ' .. ARGV[1])
