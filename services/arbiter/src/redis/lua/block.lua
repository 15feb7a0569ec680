-- Refusals: until when a budget is blocked, and how long to back off when nobody said.

local LONGEST_TOLD_MS = 32 * 86400000

local block = {}

-- A chunk has at most 200 local names: those of this file end with it.
do

local FIRST_BACK_OFF_MS, LEAST_CUT_MS, LONGEST_BACK_OFF_MS = 1000, 60000, 900000
local CANARY_MS = 60000

function block.none()
  return { until_ms = 0, streak = 0, burst_end = 0 }
end

-- When the next call may go, soon and at the latest. Who waits for a canary's answer looks again after as long as that has been
-- out.
function block.ready(self, now_ms)
  if not self.canary then
    return self.until_ms, self.until_ms
  end
  local given_up_ms = self.canary_ms + CANARY_MS
  local look_ms = now_ms + math.max(now_ms - self.canary_ms, ASK_AGAIN_MS)
  return math.max(self.until_ms, math.min(look_ms, given_up_ms)), math.max(self.until_ms, given_up_ms)
end

-- The call of permit `id` goes.
function block.go(self, id, now_ms)
  self.canary, self.canary_ms = self.blind and id or nil, self.blind and now_ms or nil
end

-- The calls of so many permits from `id` on are over, whatever came of them.
function block.finish(self, id, calls)
  if self.canary and self.canary >= id and self.canary < id + calls then
    self.canary, self.canary_ms = nil, nil
  end
end

-- A call was refused, or an answer asked for a pause: `told_ms` when it named a time.
function block.pause_until(self, told_ms, now_ms)
  self.until_ms = math.max(self.until_ms, math.min(told_ms, now_ms + LONGEST_TOLD_MS))
end

-- The call of permit `id` was refused; `next_id` is the next permit's, and `ends_ms` when the window ends, if there is one.
function block.refuse(self, id, next_id, told_ms, ends_ms, now_ms)
  local counts = id >= self.burst_end
  if counts then
    self.streak, self.burst_end, self.canary, self.canary_ms = self.streak + 1, next_id, nil, nil
  end
  if told_ms and told_ms > now_ms then
    block.pause_until(self, told_ms, now_ms)
    self.blind = nil
  elseif counts then
    local longest_ms = ends_ms and math.max(ends_ms - now_ms, LEAST_CUT_MS) or LONGEST_BACK_OFF_MS
    local back_off_ms = math.min(FIRST_BACK_OFF_MS * 2 ^ math.min(self.streak - 1, 10), LONGEST_BACK_OFF_MS, longest_ms)
    self.until_ms, self.blind = math.max(self.until_ms, now_ms + back_off_ms), true
  end
end

-- The call of permit `id` was not refused.
function block.succeed(self, id)
  if id >= self.burst_end then
    self.streak, self.blind, self.canary, self.canary_ms = 0, nil, nil, nil
  end
end

end
