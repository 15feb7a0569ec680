-- A leaky bucket (GCRA): the time at which it is full again, in Unix µs, which fits a double until 2255.

local bucket = {}

function bucket.new(size, every_us)
  return { kind = 'b', size = size, every_us = every_us, full_at_us = 0, refunds_from_ms = 0, landed_ms = NEVER_MS }
end

function bucket.counting_on(self, old)
  old.size, old.every_us = self.size, self.every_us
  return old
end

local function to_restore_us(self, units)
  return self.every_us * units
end

-- A call granted no longer ago may yet land.
local function landing_ms(self)
  return math.min(LANDS_WITHIN_MS, math.floor(to_restore_us(self, self.size) / 4000))
end

-- How long it takes, from now, to restore all that is missing, if what is in flight lands now.
local function backlog_us(self, b, now_ms)
  local restored_us = math.max(self.full_at_us - now_ms * 1000, 0)
  return math.max(restored_us, to_restore_us(self, in_flight.cost_since(b, self.landed_ms)))
end

function bucket.size(self)
  return self.size
end

-- How long one unit takes where all that fits is spread evenly, in µs.
function bucket.even_us(self)
  return self.every_us
end

function bucket.advance(self, b, now_ms)
  local landing = landing_ms(self)
  local landed_ms = now_ms - landing
  if landed_ms > self.landed_ms then
    for _, call in ipairs(in_flight.granted_after(b, self.landed_ms, landed_ms)) do
      local full_at_us = (call.granted_ms + landing) * 1000 + to_restore_us(self, call.cost)
      self.full_at_us = math.max(self.full_at_us, full_at_us)
    end
    self.landed_ms = landed_ms
  end
  if backlog_us(self, b, now_ms) < to_restore_us(self, b.state.flight.cost) then
    self.refunds_from_ms = now_ms
  end
end

function bucket.ready(self, b, cost, now_ms)
  local allowed_us = to_restore_us(self, math.max(self.size - cost, 0))
  local wait_us = math.max(backlog_us(self, b, now_ms) - allowed_us, 0)
  local at_latest_us = self.full_at_us
  if wait_us > 0 then
    -- Where there is room, no call in flight can take it away again.
    for _, call in ipairs(in_flight.granted_after(b, self.landed_ms)) do
      local restored_us = to_restore_us(self, call.cost)
      if restored_us > allowed_us then
        at_latest_us = math.max(at_latest_us, (call.granted_ms + landing_ms(self)) * 1000 + restored_us)
      end
    end
  end
  at_latest_us = math.max(at_latest_us - allowed_us - now_ms * 1000, wait_us)
  return now_ms + math.ceil(wait_us / 1000), now_ms + math.ceil(at_latest_us / 1000)
end

-- When `cost` has room behind so much that goes before it.
function bucket.behind(self, b, ahead, cost, now_ms)
  local wait_us = backlog_us(self, b, now_ms) + to_restore_us(self, ahead + cost) - to_restore_us(self, self.size)
  return now_ms + math.ceil(math.max(wait_us, 0) / 1000)
end

function bucket.use_within_ms(self)
  return math.floor(landing_ms(self) / 2)
end

function bucket.spend(self, b, cost, now_ms)
  self.full_at_us = now_ms * 1000 + backlog_us(self, b, now_ms) + to_restore_us(self, cost)
end

function bucket.refund(self, held)
  if held.granted_ms >= self.refunds_from_ms then
    self.full_at_us = self.full_at_us - to_restore_us(self, held.cost)
  end
end

-- An answer told that the call, granted for `held.cost`, cost `cost`.
function bucket.settle(self, held, cost)
  if held.granted_ms >= self.refunds_from_ms then
    self.full_at_us = self.full_at_us - to_restore_us(self, held.cost) + to_restore_us(self, cost)
  end
end

function bucket.landed(self, b, held, _, now_ms)
  if held.granted_ms > self.landed_ms then
    local cost = in_flight.cost_since(b, self.landed_ms) + held.cost
    self.full_at_us = math.max(self.full_at_us, now_ms * 1000 + to_restore_us(self, cost))
  end
end

function bucket.hear(self, b, heard)
  local told = heard.reading.limit or self.size
  self.size = size_told(self, heard, told, self.size)
  note_read(self, heard)
  if not heard.remaining then
    return
  end
  local used = math.max(told - heard.remaining, 0)
  local landed_ms = heard.granted_ms - LANDS_WITHIN_MS
  self.refunds_from_ms = math.max(self.refunds_from_ms, landed_ms + 1)
  local told_us = heard.now_ms * 1000 + to_restore_us(self, used + in_flight.cost_since(b, landed_ms))
  self.full_at_us = heard.alone and told_us or math.max(told_us, self.full_at_us)
end

function bucket.gauge(self, b, now_ms)
  local backlog = backlog_us(self, b, now_ms)
  local used = math.ceil(backlog / self.every_us)
  return used, used > 0 and now_ms + math.ceil(backlog / 1000) or nil
end

function bucket.held_ms()
  return HELD_MS
end

function bucket.rests_ms(self)
  return self.full_at_us / 1000 + LANDS_WITHIN_MS
end
