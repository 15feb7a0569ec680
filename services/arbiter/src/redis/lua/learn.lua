-- The pace of a limit that nobody tells, learnt from which calls are accepted and which are refused. Numbers and the order
-- of operations are those of Rust, so that doubles come out the same.

local learn = { KEPT_MS = 30 * 86400000 }

-- Names of its own: the library as a whole may have 200.
do
local LATE_MS = 20
local RAMP_MS = 10000
local MARGIN = 0.015
local STEP = 0.03
local CLIMB_MS, CLIMB_CALLS = 5000, 400
local MEASURED_CALLS, PROBE_CALLS, REST_CALLS = 30, 60, 50
local LEAST_MEMORY_MS, MOST_MEMORY_MS = 5000, 7200000
local EASE_SHARE, EASE_CALLS, EASE_ANSWERS = 0.1, 30, 4
local DEBT_MS, DEBT_ANSWERS, DEBT_LEAST = 20000, 2, 4
local LONE_MAX, LONE_IN_RAMP, SHORT_CALLS, FOLLOWED_PER_S = 2.5, 1.5, 4, 4
local ROW_CALLS, ROW_MAX = 200, 9
local SPANS_MAX, SPANS_TO_A_MEMORY = 64, 16
local STOPS_AT, ENDS_AFTER = 2, 3
local LOST_MS, CANARY_MS, CANARY_CALLS = 60000, 100, 6
local SWING_CALLS, SWING_ON_THEIR_WAY = 5, 2
local EARLY, LATE = 0.4, 1.2
local RISE_MS, RISE_CALLS, RISE_ANSWERS = 800, 45, 25
local CYCLE_MS, CYCLE_CALLS, CYCLE_ANSWERS, SOONER = 2200, 110, 20, 0.6
local EARNED, WARY_MS, SPARE = 1.3, 60000, 20
local RISEN, RAMPED, LATE_STEP = 2, 0.85, 0.1
local LEAST_KNOWN, MOST_KNOWN, EARLY_KNOWN = 4, 200, 30
local CHANGED, NO_BUCKET, MISSES = 0.8, 0.15, 3

local WALL_MS, WALL_MEMORIES, NEAR = 30000, 3, 0.99

local function clamp(n, least, most)
  return math.min(math.max(n, least), most)
end

-- Accepted calls, in spans: when each begins, and how many it has.
local tally = {}

function tally.begin(self, now_ms)
  if #self == 0 then
    self[1] = { now_ms, 0 }
  end
end

-- Puts older spans together two by two.
local function thin_out(self)
  local older = SPANS_MAX / 2
  local thin = {}
  for one = 1, older, 2 do
    thin[#thin + 1] = { self[one][1], self[one][2] + self[one + 1][2] }
  end
  for place = older + 1, #self do
    thin[#thin + 1] = self[place]
  end
  return thin
end

function tally.add(self, calls, now_ms, memory_ms)
  tally.begin(self, now_ms)
  local last = self[#self]
  if now_ms - last[1] < memory_ms / SPANS_TO_A_MEMORY then
    last[2] = last[2] + calls
    return self
  end
  self[#self + 1] = { now_ms, calls }
  return #self > SPANS_MAX and thin_out(self) or self
end

function tally.known_ms(self, now_ms)
  return self[1] and now_ms - self[1][1] or 0
end

function tally.per_s(self, now_ms, memory_ms)
  if not self[1] then
    return 0
  end
  local from_ms = math.max(now_ms - memory_ms, self[1][1])
  local count, end_ms = 0, now_ms
  for place = #self, 1, -1 do
    local start_ms, calls = self[place][1], self[place][2]
    if start_ms >= from_ms then
      count = count + calls
    elseif end_ms > from_ms then
      count = count + calls * (end_ms - from_ms) / (end_ms - start_ms)
    else
      break
    end
    end_ms = start_ms
  end
  return count * 1000 / math.max(now_ms - from_ms, 1)
end

-- Refusals that belong together.
local trouble = {}

function trouble.new(sent_ms, now_ms, first_wait_ms, per_s)
  return {
    since_ms = now_ms, per_s = per_s, refused = 0, last_sent_ms = sent_ms, accepted_since = 0, stopped_ms = 0,
    first_wait_ms = first_wait_ms, canaries = 0, canary_at_ms = 0, is_canary_out = false,
    refused_ms = now_ms,
  }
end

local function is_stopped(self)
  return self ~= nil and self.stopped_ms > 0
end

function trouble.refused(self, until_ms, sent_ms, now_ms)
  self.refused = self.refused + 1
  if sent_ms > self.last_sent_ms then
    self.last_sent_ms, self.accepted_since = sent_ms, 0
  end
  if is_stopped(self) and sent_ms >= self.stopped_ms then
    self.canaries = self.canaries + 1
    local canaries = self.canaries + 1
    self.refused_ms, self.is_canary_out = now_ms, false
    self.canary_at_ms = now_ms + self.first_wait_ms * canaries * math.sqrt(canaries)
  elseif not is_stopped(self) and (self.refused >= STOPS_AT or until_ms > now_ms) then
    self.stopped_ms, self.canary_at_ms = now_ms, now_ms + self.first_wait_ms
  end
  self.canary_at_ms = math.max(self.canary_at_ms, until_ms)
end

-- 'none', 'lone' or 'over'.
function trouble.accepted(self, sent_ms)
  if is_stopped(self) and sent_ms >= self.stopped_ms then
    return 'over'
  end
  if sent_ms > self.last_sent_ms then
    self.accepted_since = self.accepted_since + 1
  end
  if self.accepted_since < ENDS_AFTER then
    return 'none'
  end
  return is_stopped(self) and 'over' or 'lone'
end

function trouble.lost(self, sent_ms, now_ms)
  if self.is_canary_out and sent_ms >= self.stopped_ms then
    self.is_canary_out, self.canary_at_ms = false, now_ms + self.first_wait_ms
  end
end

-- A quota beside the pace: so many calls in a window (0 while none has shown), what was used of it, and a call beyond it.
local quota = {}

function quota.new()
  return { calls = 0, window_ms = 0, since_ms = 0, used = 0, tried_ms = 0 }
end

-- Whether not one call was let through since the window began: it began too soon.
local function is_rest(self)
  return self.calls > 0 and self.used < 1
end

function quota.ends(self, wall_ms, memory_ms)
  return wall_ms >= math.max(WALL_MS, WALL_MEMORIES * memory_ms) or is_rest(self)
end

function quota.ready(self, may_try, now_ms)
  local end_ms = self.since_ms + self.window_ms
  local is_used_up = self.calls > 0 and now_ms < end_ms and self.used >= self.calls
  return is_used_up and (self.tried_ms > 0 or not may_try) and end_ms or now_ms
end

-- A call goes that is no canary.
function quota.go(self, cost, now_ms)
  local is_over = self.calls > 0 and now_ms >= self.since_ms + self.window_ms
  if is_over or self.since_ms == 0 then
    self.since_ms, self.used, self.tried_ms = now_ms, 0, 0
  end
  if self.calls > 0 and self.used >= self.calls then
    self.tried_ms = now_ms
  end
  self.used = self.used + cost
end

function quota.accepted(self, sent_ms)
  if self.tried_ms > 0 and sent_ms >= self.tried_ms then
    self.calls, self.tried_ms = self.used, 0
  end
end

-- Whether a call was refused because the quota was used up.
function quota.refused(self, cost, sent_ms)
  if self.tried_ms > 0 then
    return true
  end
  if sent_ms >= self.since_ms then
    self.used = math.max(self.used - cost, 0)
  end
  return false
end

-- Refusals stopped everything: whether the quota is used up.
function quota.is_used_up(self, now_ms)
  local is_used_up = self.calls > 0 and self.used >= NEAR * self.calls and now_ms < self.since_ms + self.window_ms
  if is_used_up then
    self.calls, self.tried_ms = self.used, now_ms
  end
  return is_used_up
end

-- A quota's wall is over: one call was just accepted again.
function quota.learn(self, now_ms)
  local took_ms = now_ms - self.since_ms
  if is_rest(self) then
    self.window_ms = self.window_ms + took_ms
  elseif self.used < NEAR * self.calls then
    self.calls, self.window_ms = self.used, took_ms
  else
    self.calls, self.window_ms = self.used, math.max(self.window_ms, took_ms)
  end
  self.since_ms, self.used, self.tried_ms = now_ms, 1, 0
end

-- A provider that is full for a moment only, followed from refusal to refusal.
local follow = {}

function follow.new(now_ms)
  return {
    since_ms = now_ms, accepted = 0, met_ms = now_ms, met_accepted = 0, last_ms = now_ms, last_accepted = 0,
    cycle_ms = CYCLE_MS, swing = 0.05, rise_ms = RISE_MS, known = LEAST_KNOWN, early = 0, steady_per_s = 0, late = 0,
    misses = 0, changed_ms = now_ms, spare = SPARE, former_per_s = 0,
  }
end

-- When the provider was last full, and how many calls had been accepted by then. (Old arbiters kept the first refusal of a burst only.)
local function last_full(self)
  if (self.last_ms or 0) > self.met_ms then
    return self.last_ms, self.last_accepted
  end
  return self.met_ms, self.met_accepted
end

-- The provider was just full for a moment: what is known then, and the pace to begin with.
function follow.start(self, reached_per_s, now_ms)
  local since_ms, before = last_full(self)
  local started = follow.new(now_ms)
  started.since_ms, started.accepted = since_ms, self.accepted - before
  return started, RAMPED * reached_per_s
end

-- How far a late refusal has made the pace rise; 1 for doubled.
local function risen_by(self, now_ms)
  return math.max(now_ms - self.since_ms - self.cycle_ms, 0) / self.rise_ms
end

-- Calls go at this multiple of the pace.
function follow.quicker(self, now_ms)
  local part = clamp((now_ms - self.since_ms) / self.cycle_ms, 0, 1)
  local risen = risen_by(self, now_ms)
  return (1 + self.swing * (2 * part - 1)) * (1 + risen * risen * risen)
end

-- Early and late refusals in a row.
local function count(self, part, pace_per_s, burst)
  self.late = part > LATE and self.late + 1 or 0
  if part >= EARLY then
    self.early, self.steady_per_s = 0, pace_per_s
    self.misses = math.max(self.misses - 0.5, 0)
    if pace_per_s >= CHANGED * (self.former_per_s or 0) or burst.now_ms - self.changed_ms >= WARY_MS then
      self.former_per_s = pace_per_s
    end
    return
  end
  if self.early == 0 and self.known > LEAST_KNOWN then
    self.steady_per_s = pace_per_s
  end
  self.early = self.early + math.min(burst.refused, 2)
  if self.early >= 2 then
    local on_their_way = pace_per_s * burst.answer_ms / 1000
    self.known = math.min(self.known, EARLY_KNOWN / (self.early * self.early) + 2 * on_their_way)
  end
end

-- The pace by what was known and by what was measured; if that was late, by no less than was measured.
local function find(self, part, pace_per_s, reached_per_s, calls, took_ms)
  local found_per_s = (calls + self.known) / (took_ms / 1000 + self.known / pace_per_s)
  self.known = math.min(self.known + calls, MOST_KNOWN)
  if part < EARLY then
    return math.min(found_per_s, pace_per_s)
  elseif self.late == 0 then
    return found_per_s
  end
  found_per_s = math.max(found_per_s, calls * 1000 / took_ms)
  local toward = math.min(LATE_STEP * self.late * self.late, 1)
  return found_per_s + math.max((reached_per_s - found_per_s) * toward, 0)
end

-- Whether the pace fell, once for a row of early refusals.
local function judge(self, pace_per_s, found_per_s, now_ms)
  local fallen_per_s = CHANGED * self.steady_per_s
  if found_per_s >= fallen_per_s then
    return
  end
  self.changed_ms = now_ms
  if pace_per_s >= fallen_per_s then
    self.misses = self.misses + 1
  end
  if found_per_s < NO_BUCKET * self.steady_per_s then
    self.misses = MISSES
  end
end

-- The next cycle: short while changes are likely, else as long as it takes to earn the last refusals.
local function plan(self, pace_per_s, burst, refused_share)
  local sooner = pace_per_s < CHANGED * (self.former_per_s or 0) and SOONER or 1
  local shortest = sooner * math.max(CYCLE_CALLS, pace_per_s * math.max(CYCLE_MS, CYCLE_ANSWERS * burst.answer_ms) / 1000)
  self.spare = self.spare - burst.refused
  local is_wary = self.spare > 0 and burst.now_ms - self.changed_ms < WARY_MS
  local calls = is_wary and shortest or math.max(shortest, EARNED * burst.refused / refused_share)
  self.cycle_ms = calls * 1000 / pace_per_s
  local on_their_way = pace_per_s * burst.answer_ms / 1000
  self.swing = math.min((SWING_CALLS + SWING_ON_THEIR_WAY * math.sqrt(on_their_way)) / calls, 0.2)
  self.rise_ms = sooner * math.max(RISE_MS, RISE_CALLS * 1000 / pace_per_s, RISE_ANSWERS * burst.answer_ms)
end

-- The provider was full twice, and let through so many calls in so many ms between.
local function measure(self, pace_per_s, reached_per_s, calls, took_ms, burst)
  local part = took_ms / self.cycle_ms
  count(self, part, pace_per_s, burst)
  local found_per_s = find(self, part, pace_per_s, reached_per_s, calls, took_ms)
  judge(self, pace_per_s, found_per_s, burst.now_ms)
  return found_per_s
end

-- A cycle is over, and the next one begins: the pace that it goes at.
function follow.next(self, pace_per_s, burst, options)
  local took_ms = math.max(self.met_ms - self.since_ms, 1)
  local reached_per_s = math.min(pace_per_s * follow.quicker(self, self.met_ms), options.cap_per_s)
  local next_per_s
  if reached_per_s > RISEN * pace_per_s then
    local risen = risen_by(self, self.met_ms)
    local mean_per_s = pace_per_s * (1 + risen * risen * risen / 4)
    self.known, self.early, self.late, self.steady_per_s = LEAST_KNOWN, 0, 0, 0
    self.changed_ms = burst.now_ms
    next_per_s = math.max(self.met_accepted * 1000 / took_ms, math.sqrt(mean_per_s * reached_per_s))
  else
    next_per_s = measure(self, pace_per_s, reached_per_s, self.met_accepted, took_ms, burst)
  end
  local full_ms, accepted = last_full(self)
  if full_ms > self.met_ms then
    local again = { refused = 1, answer_ms = burst.answer_ms, now_ms = burst.now_ms }
    next_per_s = measure(self, next_per_s, next_per_s, accepted - self.met_accepted, full_ms - self.met_ms, again)
  end
  self.since_ms, self.accepted = full_ms, self.accepted - accepted
  plan(self, next_per_s, burst, options.refused_share)
  return next_per_s
end

function learn.new(start_per_s, floor_per_s, cap_per_s, refused_share)
  return {
    kind = 'l', start_per_s = start_per_s, floor_per_s = floor_per_s, cap_per_s = cap_per_s,
    refused_share = refused_share, mode = 'ramp', since_ms = 0, pace_per_s = start_per_s, target_per_s = 0,
    probe_per_s = 0, is_settled = false, memory_ms = LEAST_MEMORY_MS, window_ms = 0, tally = {},
    follow = follow.new(0), quota = quota.new(), full = { since_ms = 0, bursts = 0, ease = 1, eased_ms = 0 }, resumed_ms = 0, due_ms = 0, answer_ms = 0, credit = 0,
    lone = 0, row = 0, clean = 0, refused_at_ms = 0,
  }
end

-- The same knowledge under other options.
function learn.counting_on(self, old)
  old.start_per_s, old.floor_per_s, old.cap_per_s = self.start_per_s, self.floor_per_s, self.cap_per_s
  old.refused_share = self.refused_share
  return old
end

-- As after a restart: at 0.9 of what was learnt, which is to be proven again.
function learn.at_rest(self)
  self.trouble, self.since_ms, self.due_ms = nil, 0, 0
  if self.mode ~= 'ramp' then
    if self.mode ~= 'follow' then
      self.mode = 'hold'
    end
    if self.target_per_s < 1.05 * self.pace_per_s then
      self.target_per_s, self.pace_per_s = self.pace_per_s, 0.9 * self.pace_per_s
    end
  end
end

local function time_for(self, calls)
  return calls * 1000 / self.pace_per_s
end

local function span_ms(self)
  return math.max(self.memory_ms, time_for(self, MEASURED_CALLS))
end

local function full_until_ms(self)
  return self.full.since_ms + 1.2 * span_ms(self)
end

local function ease(self, now_ms)
  local all_ms = full_until_ms(self) - self.full.eased_ms
  if self.is_settled then
    local bursts = self.full.bursts
    local calls_ms = time_for(self, EASE_CALLS * bursts * bursts)
    all_ms = math.min(all_ms, math.max(calls_ms, EASE_ANSWERS * bursts * self.answer_ms))
  end
  local left_ms = self.full.eased_ms + all_ms - now_ms
  if self.full.ease < 1 and left_ms > 0 then
    return 1 - (1 - self.full.ease) * math.min(left_ms / all_ms, 1)
  end
  return 1
end

local function speed_per_s(self, now_ms)
  local took_ms = self.since_ms > 0 and now_ms - self.since_ms or 0
  local per_s
  if self.mode == 'ramp' then
    local ramp_ms = RAMP_MS / math.sqrt(math.sqrt(math.max(self.start_per_s, 1)))
    local risen = 1 + took_ms / ramp_ms
    per_s = self.start_per_s * risen * risen
  elseif self.mode == 'hold' then
    per_s = self.pace_per_s * ease(self, now_ms)
  elseif self.mode == 'probe' then
    per_s = self.probe_per_s
  elseif self.mode == 'follow' and self.trouble then
    per_s = self.pace_per_s * (1 - self.follow.swing)
  elseif self.mode == 'follow' then
    per_s = self.pace_per_s * follow.quicker(self.follow, now_ms)
  else
    local risen = took_ms / math.max(math.max(span_ms(self), CLIMB_MS), time_for(self, CLIMB_CALLS))
    per_s = self.pace_per_s * (1 + risen * risen)
  end
  return clamp(per_s, self.floor_per_s, self.cap_per_s)
end

local function enter(self, mode, now_ms)
  self.mode, self.since_ms = mode, now_ms
end

local function shorten(self)
  self.memory_ms = math.max(math.max(self.memory_ms * 0.7, self.window_ms), LEAST_MEMORY_MS)
end

local function lengthen(self, now_ms)
  local most_ms = math.min(tally.known_ms(self.tally, now_ms), MOST_MEMORY_MS)
  self.memory_ms = math.max(math.min(2 * span_ms(self), most_ms), self.memory_ms)
end

-- Lets time pass: what has held is proven, and what is proven is followed by the next step.
local function step_on(self, now_ms)
  if self.trouble then
    return
  end
  local took_ms, span = now_ms - self.since_ms, span_ms(self)
  if self.mode == 'hold' and not self.is_settled then
    if now_ms >= full_until_ms(self) and took_ms >= 1.2 * span then
      self.is_settled, self.credit = true, math.max(self.credit, 0)
      shorten(self)
    end
  elseif self.mode == 'hold' then
    local rest_ms = math.max(span / 4, time_for(self, REST_CALLS))
    -- A target was measured: to try it is no more daring than to hold it.
    local is_earned = self.credit >= 0 or self.target_per_s > 0
    if is_earned and took_ms >= rest_ms and now_ms >= self.full.since_ms + span then
      self.probe_per_s = self.target_per_s > 0 and self.target_per_s or self.pace_per_s * (1 + STEP)
      enter(self, 'probe', now_ms)
    end
  elseif self.mode == 'probe' and took_ms >= math.max(span, time_for(self, PROBE_CALLS)) + 2 * self.answer_ms then
    self.pace_per_s = self.probe_per_s
    if self.target_per_s > 0 then
      self.target_per_s = 0
      shorten(self)
      enter(self, 'hold', now_ms)
    else
      enter(self, 'climb', now_ms)
    end
  end
end

local function measured_per_s(self, now_ms)
  return tally.per_s(self.tally, now_ms, span_ms(self)) * (1 - MARGIN)
end

local function slow_to(self, per_s)
  self.pace_per_s = clamp(per_s, self.floor_per_s, self.cap_per_s)
end

local function was_full(self, now_ms)
  self.full = { since_ms = now_ms, bursts = 0, ease = 1, eased_ms = now_ms }
end

-- The most that is owed.
local function debt(self)
  local earned_ms = self.refused_share * math.max(3 * span_ms(self), DEBT_MS)
  return math.max(self.pace_per_s * math.max(earned_ms, DEBT_ANSWERS * self.answer_ms) / 1000, DEBT_LEAST)
end

local function hold(self, per_s, now_ms)
  local before_per_s = self.pace_per_s
  slow_to(self, per_s)
  if self.pace_per_s < before_per_s / 2 then
    self.credit = math.max(self.credit, -debt(self))
  end
  was_full(self, now_ms)
end

local function ease_off(self, now_ms)
  self.full.bursts = self.full.bursts + 1
  local bursts, is_known = self.full.bursts, self.window_ms > 0
  if not self.is_settled and not is_known and 1.5 * self.memory_ms < tally.known_ms(self.tally, now_ms) then
    lengthen(self, now_ms)
    return slow_to(self, math.min(measured_per_s(self, now_ms), self.pace_per_s))
  end
  if self.is_settled and bursts == 3 then
    -- A window that is known was perhaps taken for a little shorter than it is.
    local least = is_known and 1 - MARGIN or 0.93
    if not is_known then
      lengthen(self, now_ms)
    end
    slow_to(self, clamp(measured_per_s(self, now_ms), least * self.pace_per_s, self.pace_per_s))
  end
  self.full.ease = math.max(ease(self, now_ms) * (1 - EASE_SHARE * bursts), 0.05)
  self.full.eased_ms = now_ms
end

-- The pace that is held was refused.
local function hold_less(self, now_ms)
  local span, full_ms = span_ms(self), now_ms - self.full.since_ms
  self.target_per_s = 0
  if full_ms < span * (self.window_ms > 0 and 0.6 or 1.2) then
    return ease_off(self, now_ms)
  end
  local over_ms = full_ms < 4 * span and full_ms or span
  local measured = tally.per_s(self.tally, now_ms, over_ms) * (1 - MARGIN)
  self.row, self.clean = math.min(self.row + 1, ROW_MAX), 0
  local row = self.row * self.row
  local least = self.is_settled and math.max(1 - 0.08 * row, 0) or 0
  local most = 1 - 0.01 * row
  hold(self, clamp(measured, least * self.pace_per_s, most * self.pace_per_s), now_ms)
end

-- What the provider lets through: what it had accepted when it was first full. A window that ends was full for a while besides,
-- in which nothing came but refusals; they are counted here, for there are windows in which they count.
local function full_per_s(self, ended, now_ms)
  local span = span_ms(self)
  local tried_per_s = tally.per_s(self.tally, now_ms, span) + ended.refused * 1000 / span
  return math.min(ended.per_s or 0, tried_per_s) * (1 - MARGIN)
end

local function end_probe(self, ended, now_ms)
  if self.target_per_s > 0 then
    self.target_per_s = 0
    lengthen(self, now_ms)
  end
  enter(self, 'hold', now_ms)
  if full_per_s(self, ended, now_ms) < 0.93 * self.pace_per_s then
    hold_less(self, now_ms)
  else
    was_full(self, now_ms)
  end
end

local function end_climb(self, ended, reached_per_s, now_ms)
  local target = math.min(math.min(full_per_s(self, ended, now_ms), reached_per_s), self.cap_per_s)
  self.target_per_s = target > 1.005 * self.pace_per_s and target or 0
  was_full(self, now_ms)
  enter(self, 'hold', now_ms)
end

local function may_follow(self)
  return self.clean >= MEASURED_CALLS and self.start_per_s >= FOLLOWED_PER_S
end

local function start_following(self, reached_per_s, full_ms)
  local pace_per_s
  self.follow, pace_per_s = follow.start(self.follow, reached_per_s, full_ms)
  self.is_settled, self.lone = true, 0
  slow_to(self, pace_per_s)
  enter(self, 'follow', full_ms)
end

-- The provider was full for a moment, as was to be expected sooner or later.
local function follow_on(self, refused, now_ms)
  local before_per_s = self.pace_per_s
  local burst = { refused = refused, answer_ms = self.answer_ms, now_ms = now_ms }
  local next_per_s = follow.next(self.follow, before_per_s, burst, self)
  self.target_per_s = 0
  slow_to(self, next_per_s)
  if self.follow.misses >= MISSES then
    self.is_settled, self.credit = false, 0
    hold(self, math.min(measured_per_s(self, now_ms), before_per_s), now_ms)
    enter(self, 'hold', now_ms)
  end
end

-- One call was refused, and those after it were not.
local function refused_alone(self, ended, now_ms)
  if self.mode == 'ramp' then
    self.lone = self.lone + 1
    local reached_per_s = speed_per_s(self, now_ms)
    if self.lone > LONE_IN_RAMP and may_follow(self) then
      start_following(self, reached_per_s, now_ms)
    end
  elseif self.mode == 'follow' then
    follow_on(self, 1, now_ms)
  elseif self.mode == 'probe' then
    end_probe(self, ended, now_ms)
  elseif self.mode == 'climb' then
    end_climb(self, ended, speed_per_s(self, now_ms), now_ms)
  elseif self.mode == 'hold' then
    self.lone = self.lone + 1
    if self.lone > LONE_MAX then
      self.lone = 0.5
      hold_less(self, now_ms)
    end
  end
end

-- What a wall of refusals tells.
local function wall(self, ended, now_ms)
  local wall_ms = now_ms - ended.since_ms
  if wall_ms <= self.memory_ms / 2 then
    return nil
  end
  local cycle_ms = now_ms - (self.resumed_ms > 0 and self.resumed_ms or self.since_ms)
  if wall_ms < 0.3 * cycle_ms then
    self.memory_ms = math.min(2 * wall_ms, MOST_MEMORY_MS)
    return nil
  end
  local late_ms = ended.canaries > 0 and (ended.canary_at_ms - ended.refused_ms) / 2 or 0
  local window_ms = cycle_ms - late_ms
  self.memory_ms = math.min(math.max(self.memory_ms, window_ms), MOST_MEMORY_MS)
  -- The first one perhaps began in the middle, or more than one has gone by.
  self.window_ms = self.mode == 'ramp' and wall_ms or self.memory_ms
  return tally.per_s(self.tally, now_ms, cycle_ms) * cycle_ms / window_ms * (1 - MARGIN)
end

local function resume(self, now_ms)
  self.resumed_ms, self.due_ms = now_ms, now_ms + LATE_MS
end

-- The pace was not asked for during this time.
function follow.idle(self, idle_ms)
  self.since_ms = self.since_ms + idle_ms
  -- A refusal may have come just before.
  self.met_ms = self.met_ms + idle_ms
  self.last_ms = (self.last_ms or 0) + idle_ms
end

-- A quota was used up, and begins anew. It says nothing of the pace: as if nobody had asked meanwhile.
local function end_quota(self, ended, now_ms)
  local wall_ms = now_ms - ended.since_ms
  quota.learn(self.quota, now_ms)
  follow.idle(self.follow, wall_ms)
  if self.mode == 'climb' then
    self.since_ms = self.since_ms + wall_ms
  elseif self.mode == 'probe' then
    enter(self, 'hold', now_ms)
  end
  resume(self, now_ms)
end

-- Calls are accepted again, after everything had been stopped.
local function recover(self, now_ms)
  local ended = self.trouble
  self.trouble = nil
  if self.is_settled and quota.ends(self.quota, now_ms - ended.since_ms, span_ms(self)) then
    return end_quota(self, ended, now_ms)
  end
  local reached = speed_per_s(self, ended.since_ms)
  local is_short = ended.canaries == 0 or now_ms - ended.since_ms < time_for(self, SHORT_CALLS)
  if self.mode == 'ramp' and is_short and may_follow(self) then
    start_following(self, reached, ended.since_ms)
    return resume(self, now_ms)
  elseif self.mode == 'follow' and is_short then
    follow_on(self, ended.refused, now_ms)
    return resume(self, now_ms)
  elseif self.mode == 'follow' then
    -- Not a bucket, then: as after a ramp.
    self.mode, self.is_settled = 'ramp', false
  end
  if self.mode == 'ramp' then
    self.pace_per_s, self.credit, self.lone = reached, 0, 0
  end
  local walled = wall(self, ended, now_ms)
  if self.mode == 'ramp' then
    hold(self, math.min(walled or measured_per_s(self, now_ms), reached), now_ms)
  elseif self.mode == 'hold' and walled then
    hold(self, math.min(walled, self.pace_per_s), now_ms)
  elseif self.mode == 'hold' then
    hold_less(self, now_ms)
  elseif self.mode == 'probe' then
    end_probe(self, ended, now_ms)
  else
    end_climb(self, ended, reached, now_ms)
  end
  enter(self, 'hold', now_ms)
  resume(self, now_ms)
  -- The call that found room filled it.
  self.due_ms = self.due_ms + time_for(self, 1)
end

local function accepted(self, cost, sent_ms, now_ms)
  self.tally = tally.add(self.tally, cost, now_ms, span_ms(self))
  self.follow.accepted = self.follow.accepted + cost
  self.follow.spare = math.min(self.follow.spare + self.refused_share, SPARE)
  quota.accepted(self.quota, sent_ms)
  self.credit = math.min(self.credit + self.refused_share, 1)
  self.lone = math.max(self.lone - self.refused_share, 0)
  self.clean = self.clean + 1
  if self.clean > math.max(ROW_CALLS, self.pace_per_s * span_ms(self) / 1000) then
    self.row = 0
  end
  if not self.trouble or sent_ms < self.resumed_ms then
    return
  end
  local sign = trouble.accepted(self.trouble, sent_ms)
  if sign == 'over' then
    recover(self, now_ms)
  elseif sign == 'lone' then
    local ended = self.trouble
    self.trouble = nil
    refused_alone(self, ended, now_ms)
  end
end

-- The first canary goes out so long after everything was stopped.
local function first_wait_ms(self)
  local most_ms = self.mode == 'follow' and math.min(CANARY_MS, time_for(self, CANARY_CALLS)) or CANARY_MS
  return math.max(most_ms, time_for(self, 0.5))
end

local function refused(self, until_ms, cost, sent_ms, now_ms)
  self.credit = math.max(self.credit - 1, -debt(self))
  self.refused_at_ms = now_ms
  local is_canary = is_stopped(self.trouble) and sent_ms >= self.trouble.stopped_ms
  if not is_canary and quota.refused(self.quota, cost, sent_ms) then
    return
  end
  if sent_ms >= self.resumed_ms then
    if self.trouble then
      self.follow.last_ms, self.follow.last_accepted = now_ms, self.follow.accepted
    else
      self.follow.met_ms, self.follow.met_accepted = now_ms, self.follow.accepted
    end
    local per_s = tally.per_s(self.tally, now_ms, span_ms(self))
    self.trouble = self.trouble or trouble.new(sent_ms, now_ms, first_wait_ms(self), per_s)
    trouble.refused(self.trouble, until_ms, sent_ms, now_ms)
    if is_stopped(self.trouble) and not is_canary and quota.is_used_up(self.quota, now_ms) then
      self.trouble = nil
    end
  end
end

-- What came of a call: 'accepted', 'refused' or 'other'.
function learn.report(self, outcome, cost, sent_ms, until_ms, now_ms)
  self.follow, self.quota = self.follow or follow.new(0), self.quota or quota.new()
  if outcome == 'other' then
    if self.trouble then
      trouble.lost(self.trouble, sent_ms, now_ms)
    end
    return
  elseif outcome == 'accepted' then
    accepted(self, cost, sent_ms, now_ms)
  else
    refused(self, until_ms or 0, cost, sent_ms, now_ms)
  end
  local took_ms = math.max(now_ms - sent_ms, 0)
  self.answer_ms = self.answer_ms + (took_ms - self.answer_ms) / (self.answer_ms == 0 and 1 or 10)
end

function learn.size()
  return nil
end

function learn.advance() end

function learn.ready(self, _, _, now_ms)
  local now = self.trouble
  if not is_stopped(now) then
    local may_try = self.credit >= 0 or (self.quota and self.quota.calls * self.refused_share >= 1)
    local free_ms = self.quota and quota.ready(self.quota, may_try, now_ms) or now_ms
    local ready_ms = math.ceil(math.max(self.due_ms - LATE_MS, free_ms))
    return ready_ms, ready_ms
  end
  local ready_ms = math.max(now.canary_at_ms, now_ms)
  if now.is_canary_out and now_ms < now.canary_at_ms + LOST_MS then
    ready_ms = math.max(now.canary_at_ms + self.answer_ms, now_ms + 25 + self.answer_ms / 4)
  end
  local lost_ms = math.max(now.canary_at_ms + (now.is_canary_out and LOST_MS or 0), now_ms)
  return math.ceil(ready_ms), math.ceil(lost_ms)
end

-- When `cost` has room behind so much that goes before it.
function learn.behind(self, b, ahead, cost, now_ms)
  local ready_ms = learn.ready(self, b, cost, now_ms)
  return ready_ms + math.ceil(ahead * 1000 / speed_per_s(self, now_ms))
end

function learn.spend(self, _, cost, now_ms)
  -- Arbiters before it was known have none.
  self.follow, self.quota = self.follow or follow.new(0), self.quota or quota.new()
  if is_stopped(self.trouble) then
    self.trouble.canary_at_ms, self.trouble.is_canary_out = now_ms, true
    return
  end
  quota.go(self.quota, cost, now_ms)
  if self.since_ms == 0 then
    self.since_ms, self.due_ms = now_ms, now_ms + LATE_MS
    tally.begin(self.tally, now_ms)
    self.follow.since_ms, self.follow.accepted = now_ms, 0
  end
  step_on(self, now_ms)
  local every_ms = cost * 1000 / speed_per_s(self, now_ms)
  local idle_ms = now_ms - self.due_ms
  if idle_ms > 0 then
    follow.idle(self.follow, idle_ms)
  end
  if idle_ms > 4 * every_ms + 250 then
    if self.mode == 'ramp' or self.mode == 'climb' then
      self.since_ms = self.since_ms + idle_ms
    elseif self.mode == 'probe' then
      enter(self, 'hold', now_ms)
    end
  end
  self.due_ms = math.max(self.due_ms, now_ms) + every_ms
end

function learn.refund(self, held, now_ms)
  learn.report(self, 'other', held.cost, held.granted_ms, nil, now_ms)
end

function learn.landed() end

function learn.hear() end

function learn.gauge(_, b)
  return b.state.flight.cost, nil
end

function learn.held_ms()
  return HELD_MS
end

function learn.rests_ms(self)
  return self.due_ms + learn.KEPT_MS
end

-- Pace an hour, whether it is proven, when it was last refused.
function learn.lesson(self)
  local refused_at_ms = self.refused_at_ms > 0 and self.refused_at_ms or false
  return { math.floor(self.pace_per_s * 3600 + 0.5), self.is_settled and 1 or 0, refused_at_ms }
end
end

