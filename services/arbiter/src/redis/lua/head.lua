#!lua name=NAME
-- The model of the crate `tidegate_limits`, once more, so that one call on the server decides over all limits of a call.
-- Names, order and numbers are those of the Rust code, file by file; a property test feeds both the same calls.

-- A granted call reaches the provider within this time, or never.
local LANDS_WITHIN_MS = 30000
-- How long an unreported call can still be refunded.
local HELD_MS = 300000
-- After this time without a call, a budget that is full again is forgotten, with what it was told.
local IDLE_MS = 600000
-- Whoever waits for a report asks again after this time.
local ASK_AGAIN_MS = 250
-- Before all times; a double holds it exactly.
local NEVER_MS = -9e15

-- The size that was told, where it was `known` before. `self.read_ms` is when the last call was granted of those whose answers told
-- sizes or what remains: one that was not granted after it comes late, and so raises nothing.
local function size_told(self, heard, told, known)
  if known and known < told and heard.granted_ms <= (self.read_ms or NEVER_MS) then
    told = known
  end
  return math.max(told, 1)
end

local function note_read(self, heard)
  if heard.reading.limit or heard.remaining then
    self.read_ms = math.max(self.read_ms or NEVER_MS, heard.granted_ms)
  end
end

-- Most calls that are granted at once: a power of two.
local LEASE_MAX = 256
