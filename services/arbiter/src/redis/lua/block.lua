-- Refusals: until when a budget is blocked, and how long to back off when nobody said.

local FIRST_BACK_OFF_MS = 1000
local LONGEST_BACK_OFF_MS = 60000
local LONGEST_TOLD_MS = 32 * 86400000

local block = {}

function block.none()
  return { until_ms = 0, streak = 0, burst_end = 0 }
end

-- A call was refused, or an answer asked for a pause: `told_ms` when it named a time.
function block.pause_until(self, told_ms, now_ms)
  self.until_ms = math.max(self.until_ms, math.min(told_ms, now_ms + LONGEST_TOLD_MS))
end

-- The call of permit `id` was refused; `next_id` is the next permit's.
function block.refuse(self, id, next_id, told_ms, now_ms)
  local counts = id >= self.burst_end
  if counts then
    self.streak, self.burst_end = self.streak + 1, next_id
  end
  if told_ms and told_ms > now_ms then
    block.pause_until(self, told_ms, now_ms)
  elseif counts then
    local back_off_ms = FIRST_BACK_OFF_MS * 2 ^ math.min(self.streak - 1, 6)
    self.until_ms = math.max(self.until_ms, now_ms + math.min(back_off_ms, LONGEST_BACK_OFF_MS))
  end
end

-- The call of permit `id` was not refused.
function block.succeed(self, id)
  if id >= self.burst_end then
    self.streak = 0
  end
end
