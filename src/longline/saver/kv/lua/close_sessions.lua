-- Sessions have lost their connections. KEYS: tag. ARGV, for each: app, place, epoch, now, 1 when its will is to be
-- published, expiry (s, "" as before). Returns for each {1, or 0 when another epoch has it; wills forgotten for want of
-- room}.
-- include: kept.lua
-- include: wills.lua
-- include: departing.lua

local tag, answer = KEYS[1], {}
for i = 1, #ARGV, 6 do
  local app, place, epoch, now, will, expires_in = unpack(ARGV, i, i + 5)
  local session, forgotten = find_session(tag, app, place), 0
  local is_its = not session or session.epoch == epoch
  if session and is_its and (session.node or session.given_up) then
    touch_session(session)
    now = tonumber(now)
    if expires_in == '' then expires_in = session.expires_in end
    local ends_at = end_of(expires_in, now)
    if will == '1' then
      forgotten = arm_wills(tag, session.member, epoch, function(delay)
        return ends_at and math.min(now + delay, ends_at) or now + delay
      end)
    else
      drop_wills(tag, session.member, epoch)
    end
    if expires_in == '0' then end_session(session, true) else disconnect(session, expires_in, ends_at, false) end
  elseif not session or not is_its then -- another connection has followed, which may be over, too
    hear_of_wills(tag, app .. ':' .. place, epoch, tonumber(now), will == '1')
  end
  answer[#answer + 1] = { is_its and 1 or 0, forgotten }
end
return answer
