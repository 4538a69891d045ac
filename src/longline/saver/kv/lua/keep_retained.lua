-- Keeps or ends retained messages. KEYS: tag. ARGV, for each app: app, how many messages follow, the most messages
-- and bytes that it may have, how many it has in other partitions; then for each message: topic, when it is over (ms,
-- 0 for never), what is stored ("" ends the topic's).
-- Returns for each app {messages here, bytes here, for each message 1 when it is refused for want of room, else 0}, or
-- false when the app is deleted.
-- include: retained.lua

local tag, replies, at = KEYS[1], {}, 1
while at < #ARGV do
  local app, items = ARGV[at], tonumber(ARGV[at + 1])
  local most, most_bytes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local elsewhere, elsewhere_bytes = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  at = at + 6
  if is_gone(tag, app) then
    replies[#replies + 1] = false
  else
    local messages = redis.call('ZCARD', tag .. 'rt:' .. app)
    local bytes = tonumber(redis.call('HGET', tag .. 'rn', app) or 0)
    local reply = {}
    for i = at, at + 3 * items - 1, 3 do
      local topic, ends_at, stored = ARGV[i], ARGV[i + 1], ARGV[i + 2]
      local size, refused = size_at(tag, app, topic), 0
      if stored == '' then
        if size > 0 then
          forget(tag, app, topic, size)
          messages, bytes = messages - 1, bytes - size
        end
      else
        local more = size > 0 and 0 or 1
        local larger = UNTOLD + #topic + #stored - size
        if
          (more > 0 and elsewhere + messages + more > most)
          or (larger > 0 and elsewhere_bytes + bytes + larger > most_bytes)
        then
          refused = 1
        else
          redis.call('HSET', tag .. 'rb:' .. app, topic, stored)
          redis.call('ZADD', tag .. 'rt:' .. app, 0, topic)
          if ends_at == '0' then
            redis.call('ZREM', tag .. 're:' .. app, topic)
          else
            redis.call('ZADD', tag .. 're:' .. app, ends_at, topic)
          end
          count(tag, app, more, larger)
          messages, bytes = messages + more, bytes + larger
        end
      end
      reply[#reply + 1] = refused
    end
    note_due(tag, app)
    table.insert(reply, 1, bytes)
    table.insert(reply, 1, messages)
    replies[#replies + 1] = reply
  end
  at = at + 3 * items
end
return replies
