-- Fixed windows, and limits of which only answers' headers speak. Fields that Rust has as `None` are absent.

-- What is known of the provider's window.
local SUSPECTED, GRANTED, BEGUN, TOLD = 1, 2, 3, 4
-- Two told resets that differ by no more belong to the same window.
local SAME_RESET_MS = 1500
-- `Date` tells whole seconds.
local DATE_STEP_MS = 1000

local window = {}

-- `aligned`: f(irst call), e(poch), t(old).
function window.new(calls, per_ms, aligned)
  local self = { kind = 'w', calls = calls, per_ms = per_ms, aligned = aligned }
  self.used, self.landed_ms, self.gap_end_ms = 0, NEVER_MS, 0
  self.own, self.told_used, self.untold, self.untold_ms = 0, 0, 0, 0
  return self
end

-- Counts anew: `used` by now, of which `told` was told.
local function count(self, used, told)
  self.used, self.own, self.told_used, self.untold, self.untold_ms = used, used, told, 0, 0
end

function window.counting_on(self, old)
  old.calls, old.per_ms, old.aligned, old.told_size, old.edges = self.calls, self.per_ms, self.aligned, nil, nil
  return old
end

-- A known edge, when windows follow one another without waiting for a call.
local function anchor_ms(self)
  if self.aligned == 'e' then
    return 0
  end
  return self.aligned == 't' and self.told_edge_ms or nil
end

local function landing_ms(self)
  return self.per_ms == 0 and LANDS_WITHIN_MS or math.min(LANDS_WITHIN_MS, math.floor(self.per_ms / 4))
end

-- The window that holds `now_ms`, counted in whole periods from `from_ms`.
local function span_from(self, from_ms, now_ms, known)
  local edges = self.edges
  if edges then
    local last = #edges
    -- Who asks for another kind meanwhile tells no edges.
    local start_ms = edges[last] + math.max(math.floor((now_ms - edges[last]) / self.per_ms), 0) * self.per_ms
    local end_ms = start_ms + self.per_ms
    for i = last, 1, -1 do
      if now_ms < edges[i] then
        start_ms, end_ms = edges[i - 1] or edges[i] - self.per_ms, edges[i]
      end
    end
    return { start_ms = start_ms, end_ms = end_ms, over_ms = end_ms, known = known }
  end
  local per_ms = math.max(self.per_ms, 1)
  local start_ms = now_ms - (now_ms - from_ms) % per_ms
  return { start_ms = start_ms, end_ms = start_ms + per_ms, over_ms = start_ms + per_ms, known = known }
end

-- What follows, once `ended` has ended: calls that may land after the edge are counted on both sides of it.
local function after(self, b, ended, now_ms)
  local anchor = anchor_ms(self)
  local span = span_from(self, anchor or ended.end_ms, now_ms, SUSPECTED)
  local used = in_flight.cost_since(b, span.start_ms - landing_ms(self))
  -- The next period of the calendar opens with a call: only who asks knows when that is.
  return used, (used > 0 or anchor and not self.edges) and span or nil
end

local function counts(self, span, held)
  return held.granted_ms > span.start_ms - landing_ms(self)
end

-- Whether the window began with a call, and nobody told its end.
local function floats(self, span)
  return span.known ~= TOLD and not anchor_ms(self)
end

function window.size(self)
  if self.per_ms == 0 then
    return nil
  end
  return self.told_size or self.calls
end

-- How long one unit takes where all that fits is spread evenly, in µs.
function window.even_us(self)
  local size = window.size(self)
  return size and math.floor(self.per_ms * 1000 / math.max(size, 1))
end

function window.advance(self, b, now_ms)
  local ended = self.open
  if ended and ended.end_ms <= now_ms then
    local used
    used, self.open = after(self, b, ended, now_ms)
    count(self, used, 0)
    self.gap_end_ms = math.max(self.gap_end_ms, ended.over_ms)
  end
end

function window.ready(self, b, cost, now_ms)
  local size = window.size(self)
  local function has_room(used)
    return not size or used + cost <= size
  end
  local open = self.open
  if not open or has_room(self.used) then
    local at_ms = math.max(now_ms, self.gap_end_ms)
    return at_ms, at_ms
  end
  -- What landed may be counted twice, as told and as in flight: less is used when its answers are here.
  local until_ms = open.over_ms
  if has_room(self.own or self.used) and in_flight.cost_since(b, self.landed_ms) > 0 then
    until_ms = math.min(until_ms, now_ms + ASK_AGAIN_MS)
  end
  local landing, following = after(self, b, open, open.end_ms)
  if following and not has_room(landing) then
    return until_ms, following.end_ms
  end
  return until_ms, open.over_ms
end

-- When `cost` has room behind so much that goes before it.
function window.behind(self, _, ahead, cost, now_ms)
  local size = window.size(self)
  if not size then
    return nil
  elseif self.used + ahead + cost <= size then
    return math.max(now_ms, self.gap_end_ms)
  end
  return self.open and self.open.over_ms or now_ms + self.per_ms
end

-- When the window ends that is open.
function window.ends_ms(self)
  return self.open and self.open.over_ms
end

function window.use_within_ms(self)
  return math.floor(landing_ms(self) / 2)
end

function window.spend(self, _, cost, now_ms)
  if self.per_ms == 0 then
    return
  end
  local open = self.open or span_from(self, anchor_ms(self) or now_ms, now_ms, GRANTED)
  if open.known == SUSPECTED and floats(self, open) then
    open.over_ms, open.known = now_ms + landing_ms(self) + self.per_ms, GRANTED
  end
  self.open = open
  -- A state that an earlier release kept has no count of our own.
  self.used, self.own = self.used + cost, (self.own or self.used) + cost
end

-- The provider began a window at some time, and calls in flight do not say otherwise.
function window.begin(self, start_ms, now_ms)
  local end_ms = start_ms + self.per_ms
  self.open = { start_ms = start_ms, end_ms = end_ms, over_ms = end_ms + landing_ms(self), known = BEGUN }
  self.open.over_ms = math.max(self.open.over_ms, now_ms)
end

function window.refund(self, held)
  local open = self.open
  if not open or not counts(self, open, held) or held.granted_ms <= self.landed_ms then
    return
  end
  self.used, self.own = math.max(self.used - held.cost, 0), math.max((self.own or self.used) - held.cost, 0)
  if self.used == 0 and floats(self, open) then
    self.open = nil
    count(self, 0, 0)
  end
end

-- An answer told that the call, granted for `held.cost`, cost `cost`.
function window.settle(self, held, cost)
  if self.open and counts(self, self.open, held) and held.granted_ms > self.landed_ms then
    local own = self.own or self.used
    self.used, self.own = math.max(self.used + cost - held.cost, 0), math.max(own + cost - held.cost, 0)
  end
end

-- A call that was sent is over, and no answer to it told what is used.
function window.tells_nothing(self, held, now_ms)
  if self.open and counts(self, self.open, held) then
    self.untold, self.untold_ms = (self.untold or 0) + held.cost, now_ms
  end
end

function window.landed(self, _, held, answered, now_ms)
  local open = self.open
  if not open or not floats(self, open) or not counts(self, open, held) or open.known == BEGUN then
    return
  end
  local over_ms = now_ms + self.per_ms
  if answered and held.granted_ms >= open.start_ms then
    open.over_ms, open.known = over_ms, BEGUN
    if self.calls then
      open.own_ms = { open.end_ms, over_ms }
    end
    return
  end
  open.over_ms = math.max(over_ms, open.over_ms)
  if not answered then
    open.known = SUSPECTED
  end
end

-- When a window ends, as an answer told it: the earliest and the latest.
local function reset_told(self, heard)
  if not heard.reading.reset_at_ms then
    return nil
  end
  local most_guard_ms = self.per_ms == 0 and math.huge or math.floor(self.per_ms / 4)
  local is_relative = heard.reading.reset_is_relative
  local ahead_ms = not is_relative and heard.reading.clock_ahead_ms or 0
  -- Within these bounds the clocks may agree.
  local is_ours = ahead_ms >= -heard.took_ms - DATE_STEP_MS and ahead_ms <= 0
  local told_ms = heard.reading.reset_at_ms - (is_ours and 0 or ahead_ms)
  told_ms = math.min(told_ms, heard.now_ms + LONGEST_TOLD_MS)
  local late_ms = is_ours and (is_relative and heard.took_ms or 0) or heard.took_ms + DATE_STEP_MS
  local step_ms, own_ms = heard.reading.reset_step_ms, self.open and self.open.own_ms
  local reset = { earliest_ms = told_ms - late_ms, latest_ms = told_ms + math.min(step_ms, most_guard_ms) }
  if own_ms then
    -- Whole seconds may be rounded up as well as down, and clocks that may agree may also differ by as much as `Date` leaves open:
    -- where our own calls say when the window ends, they decide within that.
    local early_ms, after_ms = 0, 0
    if is_ours and heard.reading.clock_ahead_ms and not is_relative then
      early_ms, after_ms = ahead_ms + heard.took_ms + DATE_STEP_MS, -ahead_ms
    end
    local earliest_ms = math.max(reset.earliest_ms - step_ms - early_ms, own_ms[1])
    local latest_ms = math.min(reset.latest_ms + after_ms, own_ms[2])
    return earliest_ms <= latest_ms and { earliest_ms = earliest_ms, latest_ms = latest_ms } or reset
  end
  return reset
end

-- Which window a reading speaks of, beside the one that is open: 'older', 'same' or 'newer'.
local function age_of(self, reset, now_ms)
  local open = self.open
  if not reset then
    return open and 'same' or 'older'
  end
  local tolerance_ms = self.per_ms == 0 and SAME_RESET_MS or math.min(SAME_RESET_MS, math.floor(self.per_ms / 2))
  local last_edge_ms = math.max(open and open.start_ms or 0, self.gap_end_ms)
  if reset.latest_ms <= now_ms or reset.earliest_ms <= last_edge_ms + tolerance_ms then
    return 'older'
  elseif not open then
    return 'newer'
  elseif open.known ~= TOLD then
    return 'same'
  elseif reset.latest_ms < open.end_ms - tolerance_ms then
    return 'older'
  elseif reset.earliest_ms <= open.over_ms + tolerance_ms then
    return 'same'
  end
  return 'newer'
end

-- Takes over a told end; what several answers told together is narrower than what each told.
local function end_at(self, reset, age, now_ms)
  local open, start_ms = self.open, now_ms
  local end_ms, over_ms = reset.earliest_ms, reset.latest_ms
  if age == 'same' and open then
    start_ms = open.start_ms
    if open.known == TOLD then
      end_ms = math.max(end_ms, open.end_ms)
      over_ms = math.max(math.min(over_ms, open.over_ms), end_ms)
    end
  end
  local own_ms = age == 'same' and open and open.own_ms or nil
  self.open = { start_ms = start_ms, end_ms = end_ms, over_ms = over_ms, known = TOLD, own_ms = own_ms }
  self.gap_end_ms = math.min(self.gap_end_ms, now_ms)
  self.told_edge_ms = end_ms
  if not self.calls then
    self.per_ms = math.max(self.per_ms, end_ms - now_ms)
  end
end

function window.hear(self, b, heard)
  local reset = reset_told(self, heard)
  local age = age_of(self, reset, heard.now_ms)
  if age == 'older' then
    return
  end
  if reset then
    end_at(self, reset, age, heard.now_ms)
  end
  self.landed_ms = heard.granted_ms - landing_ms(self)
  local others = in_flight.cost_since(b, self.landed_ms)
  local limit, left = heard.reading.limit, heard.remaining
  local size = limit or self.told_size or self.calls
  local used = size and left and math.max(size - left, 0)
  if age ~= 'same' then
    count(self, (used or heard.cost) + others, used or 0)
  elseif used and heard.alone then
    count(self, used, used)
  elseif used then
    self.told_used = math.max(self.told_used or 0, used)
    if (self.untold_ms or 0) < heard.granted_ms then
      self.untold = 0
    end
    self.used = math.max(self.own or self.used, self.told_used + others + self.untold)
  end
  local known = self.told_size or self.calls
  if limit then
    self.told_size = size_told(self, heard, limit, known)
  elseif left and (not size or left > size) then
    -- No size is known that could be right: what remains, for those who ask from now on.
    self.told_size = size_told(self, heard, math.max(self.used + left - others, 0), known)
  end
  note_read(self, heard)
end

function window.gauge(self)
  return self.used, self.open and self.open.over_ms
end

function window.held_ms()
  return HELD_MS
end

function window.rests_ms(self)
  local over_ms = self.open and self.open.over_ms + self.per_ms or 0
  return math.max(over_ms, self.gap_end_ms)
end
