-- Puts a batch of commands into a node's queue.
-- KEYS: {n}open, {n}q, {n}from:<producer>
-- ARGV: number of the batch (the producer's numbers rise), how many commands, limit of commands, limit of bytes, how long
--       a repetition is recognised (ms), what to do when there is no room, packed commands. To do: `wait`, `drop`
--       the oldest batches, or a sequence: drop them if that is still the last batch the reader is done with
-- Answers: 1 and how many commands were dropped for it, 0 when it is full, -1 when the node has no queue; and the last
--       batch that the reader is done with.
-- include: queue.lua
local state = redis.call('HMGET', KEYS[1], 'last', 'commands', 'bytes', 'gone_commands', 'gone_bytes', 'read')
if not state[1] then
  return { -1, 0 }
end
local before = redis.call('GET', KEYS[3])
if before then
  local number, answer, read = string.match(before, '^(%d+) (%d+) (%d+)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    return { tonumber(answer), tonumber(read) } -- it is in, or its producer gave it up long ago
  end
end
local commands, bytes = state[2] + ARGV[2], state[3] + #ARGV[7]
local gone_commands, gone_bytes = tonumber(state[4]), tonumber(state[5])
local dropped = 0
while gone_commands < tonumber(state[2])
  and (commands - gone_commands > tonumber(ARGV[3]) or bytes - gone_bytes > tonumber(ARGV[4])) do
  if ARGV[6] ~= 'drop' and ARGV[6] ~= state[6] then
    return { 0, tonumber(state[6]) }
  end
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  local upto_commands, upto_bytes = state[2], state[3]
  if oldest then
    local _, c, b = string.match(oldest[2][1], '^(%d+) (%d+) (%d+)$')
    upto_commands, upto_bytes = c, b
    redis.call('XDEL', KEYS[2], oldest[1])
  end
  dropped = dropped + upto_commands - gone_commands
  gone_commands, gone_bytes = tonumber(upto_commands), tonumber(upto_bytes)
end
local sequence = math.max(clock(), state[1] + 1)
redis.call('XADD', KEYS[2], whole(sequence) .. '-0',
  state[1] .. ' ' .. whole(commands) .. ' ' .. whole(bytes), ARGV[7])
redis.call('HSET', KEYS[1], 'last', whole(sequence), 'commands', whole(commands), 'bytes', whole(bytes))
if dropped > 0 then
  redis.call('HSET', KEYS[1], 'gone_commands', whole(gone_commands), 'gone_bytes', whole(gone_bytes))
end
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. whole(1 + dropped) .. ' ' .. state[6], 'PX', ARGV[5])
return { 1 + dropped, tonumber(state[6]) }
