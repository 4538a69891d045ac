-- How rows of the ledger, deliveries and inbox entries are packed; kv/layout.py says what they mean.

local ROW, DELIVERY = '>c1BI2I6I6I4', '>BI4I4'
local PLACE_AT, DELIVERY_AT = 21, 25 -- in a row of kind u
local PENDING_AT = 21 -- in a row of kind m
local NEXT_AT, COLLAPSE_AT = 21, 29 -- in a row of kind b
local PENDING, ACKED, EXPIRED, COLLAPSED, DROPPED = 0, 1, 2, 3, 4
local ONLINE_ONLY, CANCELLED, ENDED, HOME, KEPT_APART, HIGH = 1, 2, 4, 8, 16, 32 -- flags of a row
local CONNECTED = 16 -- added to the state of a delivery

local ENTRY, ENTRY_SIZE = '>I2BI6I6c16', 31
local ENTRY_HEAD = '>I2BI6' -- size, flags, position
local ENTRY_END, ENTRY_END_SIZE = '>I6', 6 -- position
local WRITTEN, APART, COLLAPSES, ROUTED, HIDDEN, DEAD, URGENT = 1, 2, 4, 8, 16, 32, 64 -- flags of an entry

-- Reasons of drops that leave a gap.
local INBOX_FULL, TOO_LARGE = 'inbox_full', 'too_large_for_client'

local function has(flags, flag)
  return flags % (2 * flag) >= flag
end

local function ledger_key(tag, app, id)
  return tag .. 'l:' .. app .. ':' .. string.sub(id, 1, 5)
end

local function words_key(tag, app, id)
  return tag .. 'lw:' .. app .. ':' .. string.sub(id, 1, 5)
end
