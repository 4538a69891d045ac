-- What was done of these messages need not be known for long any more. KEYS: tag. ARGV: for how long (ms), names.
-- Returns for each 1.
local answer = {}
for n = 2, #ARGV do
  redis.call('PEXPIRE', KEYS[1] .. 'mz:' .. ARGV[n], ARGV[1])
  answer[n - 1] = 1
end
return answer
