-- A circuit breaker: closed, open (single calls try) or closing (as many are in flight as went well since).

local SILENT = 2
local LOST_MS = 150000
local PROBING_AGAIN_MS = 15000
local CLOSING_AGAIN_MS = 250
local CLOSED_ROOM = 64
local UNMET_PATIENCE_MS = 120000

local circuit = {}

function circuit.new(failures, share, first_ms, longest_ms, patience_ms)
  return { kind = 'k', failures = failures, share = share, first_ms = first_ms, longest_ms = longest_ms,
    patience_ms = patience_ms, mode = 'closed', met = false, score = 0, failed_ms = 0, since_ms = 0, distance_ms = 0, probe_ms = 0,
    probed_ms = 0, closing_ms = 0, room = 0 }
end

function circuit.counting_on(self, old)
  for _, option in ipairs({ 'failures', 'share', 'first_ms', 'longest_ms', 'patience_ms' }) do
    old[option] = self[option]
  end
  return old
end

function circuit.size(self)
  return math.max(self.failures, 1)
end

-- Whether the call that was just granted is a probe whose failure costs no attempt.
function circuit.probes_free(self, now_ms)
  local patience_ms = self.met and self.patience_ms or math.min(self.patience_ms, UNMET_PATIENCE_MS)
  return self.mode == 'open' and now_ms - self.since_ms < patience_ms
end

local function open(self, now_ms)
  if self.mode == 'closed' then
    self.since_ms, self.distance_ms = now_ms, self.first_ms
  end
  self.mode, self.probe_ms = 'open', now_ms + self.distance_ms
  self.distance_ms = math.min(2 * self.distance_ms, self.longest_ms)
end

local function weigh(self, health, now_ms)
  if health == '' then
    return
  elseif health == 'well' then
    self.score = math.max(self.score - self.share / (1 - self.share), 0)
    return
  end
  self.score, self.failed_ms = self.score + (health == 'silent' and SILENT or 1), now_ms
  if self.failures > 0 and self.score >= self.failures then
    open(self, now_ms)
  end
end

-- How a call went, `held` if it was granted while this was not closed.
function circuit.went(self, held, health, now_ms)
  local granted_ms = held and held.granted_ms or NEVER_MS
  self.met = self.met or health == 'well'
  if self.mode == 'closed' then
    weigh(self, health, now_ms)
  elseif self.mode == 'open' and self.probed_ms > 0 and granted_ms >= self.probed_ms then
    self.probed_ms = 0
    if health == 'well' then
      self.mode, self.closing_ms, self.room = 'closing', now_ms, 1
      self.score = self.failures - 1
    elseif health ~= '' then
      open(self, now_ms)
    end
  elseif self.mode == 'closing' and granted_ms >= self.closing_ms then
    if health == 'well' then
      self.room = self.room + 1
      self.distance_ms = math.max(math.floor(self.distance_ms / 2), self.first_ms)
    end
    weigh(self, health, now_ms)
    if self.mode == 'closing' and self.room >= CLOSED_ROOM then
      self.mode = 'closed'
    end
  end
end

function circuit.advance(self, _, now_ms)
  if self.mode ~= 'open' and now_ms - self.failed_ms >= IDLE_MS then
    self.score = 0
  end
  if now_ms - self.probed_ms >= LOST_MS then
    self.probed_ms = 0
  end
end

function circuit.ready(self, b, _, now_ms)
  if self.mode == 'open' then
    if self.probed_ms > 0 then
      local lost_ms = self.probed_ms + LOST_MS
      return math.min(now_ms + math.min(self.distance_ms, PROBING_AGAIN_MS), lost_ms), lost_ms
    end
    local at_ms = math.max(self.probe_ms, now_ms)
    return at_ms, at_ms
  elseif self.mode == 'closing' and in_flight.cost_since(b, self.closing_ms - 1) >= self.room then
    return now_ms + CLOSING_AGAIN_MS, now_ms + HELD_MS
  end
  return now_ms, now_ms
end

function circuit.spend(self, _, _, now_ms)
  if self.mode == 'open' then
    self.probed_ms = now_ms
  end
end

function circuit.gauge(self, _, now_ms)
  if self.mode ~= 'open' then
    return math.ceil(self.score)
  end
  return now_ms - math.max(self.probe_ms, self.probed_ms) >= IDLE_MS and 0 or self.failures
end

-- Since when the provider is ill and when it is tried next, where it was found to be.
function circuit.down(self)
  return self.mode == 'open' and { self.since_ms, self.probe_ms } or false
end

function circuit.held_ms()
  return HELD_MS
end

function circuit.rests_ms(self)
  return self.mode == 'open' and math.max(self.probe_ms, self.probed_ms) + IDLE_MS or 0
end
