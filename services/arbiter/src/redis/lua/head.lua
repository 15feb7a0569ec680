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

