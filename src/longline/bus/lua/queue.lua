-- The queue of a node, "{n}" in the names of its keys:
--   {n}q      STREAM of batches, ids "<sequence>-0", header -> packed commands. The header is
--             "<sequence of the batch before> <commands> <bytes>": the latter two were put in since the queue was
--             opened, with this batch.
--   {n}open   HASH, there while the queue is open:
--             opened                           when it was opened (µs), which is a sequence of no batch
--             last, commands, bytes            the last batch put in, and all that was put in so far
--             read                             the last batch that its reader is done with
--             gone_commands, gone_bytes        what has left the queue so far, read or dropped
--   {n}shut   there for a day after the queue was shut
--   {n}from:<producer>  the producer's last batch and the answer to it, for as long as it may be repeated
-- Sequences follow the clock (µs), so they rise also when the store lost the queue, or its end. A reader sees
-- that it missed something by the sequence of the batch before.

local function whole(number)
  return string.format('%.0f', number)
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
