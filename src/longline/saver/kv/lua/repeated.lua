-- What a call has answered, kept for as long as it may be carried out again: its token tells it from others.

local function answer_key(tag, token)
  return tag .. 'mt:' .. token
end

-- Nil when this call was not carried out before.
local function earlier(tag, token)
  local kept = redis.call('GET', answer_key(tag, token))
  return kept and cmsgpack.unpack(kept) or nil
end

local function keep_answer(tag, token, ms, answer)
  redis.call('SET', answer_key(tag, token), cmsgpack.pack(answer), 'PX', ms)
  return answer
end
