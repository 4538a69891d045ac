-- When `expire`, `sweep`, `expire_retained`, `clear_gone_senders` or `expire_queues` have work, in ms; -1: never. KEYS: beginning of the keys.
-- Returns that and how many retained messages there are.
local tag, soonest = KEYS[1], -1
for _, index in ipairs({ 'due', 'je', 'rd', 'rq', 'mu', 'mo' }) do
  local due = tonumber(redis.call('ZRANGE', tag .. index, 0, 0, 'WITHSCORES')[2])
  if due and (soonest < 0 or due < soonest) then soonest = due end
end
return { soonest, tonumber(redis.call('GET', tag .. 'rm') or 0) }
