-- How many calls at a time a provider works on that slows down instead of refusing, learnt from how long it takes. Numbers and
-- the order of operations are those of Rust, so that doubles come out the same.

local ROUND_ANSWERS = 30
local RAISE, FIRST_RAISE, RAISE_LEAST = 1.1, 1.5, 0.5
local RAISE_BELOW_SHARE, RAISE_BELOW = 0.1, 1
local CUT_ABOVE_SHARE, CUT_ABOVE = 0.3, 2
local CUT_ROOM, CUT_LEAST = 1.1, 0.5
local DROP = 0.7
local IN_USE, IN_USE_DROPPED = 0.8, 0.5
local FALL = 0.25
local REST_MS, REST_SHARE = 30000, 15

local slots = { KEPT_MS = 30 * 86400000 }

local function no_round()
  return { since_ms = 0, answers = 0, took_us = 0, peak = 0, was_refused = false }
end

function slots.new(start, floor, cap, lease_ms)
  return {
    kind = 'g', floor = floor, cap = cap, lease_ms = lease_ms, size = start, base_us = 0, measured_ms = 0, rest_ms = REST_MS,
    is_measuring = true, was_cut = false, cut_ms = 0, queued_ms = 0, round = no_round(),
  }
end

function slots.counting_on(self, old)
  old.floor, old.cap, old.lease_ms = self.floor, self.cap, self.lease_ms
  old.size = math.min(math.max(old.size, self.floor), self.cap)
  return old
end

-- As after a restart: what is known is measured again first, at half the slots.
function slots.at_rest(self)
  self.is_measuring, self.was_cut, self.round = true, false, no_round()
end

function slots.size(self)
  return math.max(math.floor(self.size), 1)
end

-- Calls at a time now.
function slots.at_a_time(self)
  if self.is_measuring then
    return math.max(math.floor(self.size / 2), self.floor, 1)
  end
  return slots.size(self)
end

function slots.advance() end

-- While it is measured there are fewer slots than a call may cost, which then has them all.
function slots.ready(self, b, cost, now_ms)
  local room = slots.at_a_time(self)
  return concurrency.room(room, self.lease_ms, b, math.min(cost, room), now_ms)
end

local function begin(self, in_flight, now_ms)
  self.round = { since_ms = now_ms, answers = 0, took_us = 0, peak = in_flight, was_refused = false }
end

local function is_due(self, now_ms)
  return now_ms - self.measured_ms >= self.rest_ms
end

function slots.spend(self, b, cost, now_ms)
  local in_flight = b.state.flight.cost + cost
  if self.round.since_ms == 0 then
    self.round.since_ms = now_ms
  end
  -- After a while without calls the provider may be another one.
  if in_flight <= cost and not self.is_measuring and is_due(self, now_ms) then
    self.is_measuring = true
    begin(self, 0, now_ms)
  end
  self.round.peak = math.max(self.round.peak, in_flight)
end

local function cut(self, share, now_ms)
  self.size = math.max(self.size * share, self.floor)
  self.cut_ms = now_ms
end

-- The round is over.
local function judge(self, now_ms)
  local round = self.round
  local mean_us = round.took_us / round.answers
  if self.is_measuring then
    local took_ms = (round.answers / slots.at_a_time(self) + 1) * mean_us / 1000
    self.base_us, self.measured_ms = mean_us, now_ms
    self.rest_ms = math.max(REST_SHARE * took_ms, REST_MS)
    self.is_measuring, self.was_cut = false, false
    return
  end
  if mean_us < self.base_us then
    self.base_us = self.base_us + (mean_us - self.base_us) * FALL
  end
  local ratio = math.min(self.base_us / mean_us, 1)
  local size, waiting = self.size, self.size * (1 - ratio)
  if waiting > math.max(CUT_ABOVE_SHARE * size, CUT_ABOVE) then
    self.queued_ms = now_ms
    -- Fewer calls were no quicker: it may be the base that has changed.
    self.is_measuring = self.was_cut
    self.was_cut = not self.was_cut
    if self.was_cut then
      cut(self, math.max(CUT_ROOM * ratio, CUT_LEAST), now_ms)
    end
  else
    self.was_cut = false
    if waiting > math.max(RAISE_BELOW_SHARE * size, RAISE_BELOW) then
      self.queued_ms = now_ms
    elseif not round.was_refused and round.peak >= IN_USE * slots.at_a_time(self) then
      local raise = self.queued_ms > 0 and RAISE or FIRST_RAISE
      self.size = math.min(math.max(size * raise, size + RAISE_LEAST), self.cap)
    end
  end
  self.is_measuring = self.is_measuring or is_due(self, now_ms)
end

-- What came of a call; what is in flight is without it.
function slots.went(self, b, held, report, now_ms)
  local in_flight = b.state.flight.cost
  if report.health == 'ill' or report.health == 'silent' then
    -- One burst counts once.
    if held.granted_ms > self.cut_ms and self.round.peak >= IN_USE_DROPPED * slots.at_a_time(self) then
      self.queued_ms = now_ms
      cut(self, DROP, now_ms)
      begin(self, in_flight, now_ms)
    end
  elseif held.granted_ms < self.round.since_ms then
    return
  elseif report.refused then
    self.round.was_refused = true
  elseif report.sent and report.took_us then
    self.round.answers = self.round.answers + 1
    self.round.took_us = self.round.took_us + math.max(report.took_us, 1)
    if self.round.answers >= math.max(slots.at_a_time(self), ROUND_ANSWERS) then
      judge(self, now_ms)
      begin(self, in_flight, now_ms)
    end
  end
end

function slots.refund() end

function slots.landed() end

function slots.hear() end

function slots.gauge(_, b)
  return b.state.flight.cost, nil
end

-- How long a call takes while none waits, when that was measured, when calls last waited.
function slots.lesson(self)
  local base_us = self.base_us > 0 and math.floor(self.base_us + 0.5)
  return { base_us, self.measured_ms > 0 and self.measured_ms, self.queued_ms > 0 and self.queued_ms }
end

function slots.held_ms(self)
  return self.lease_ms
end

function slots.rests_ms()
  return 0
end
