-- So many calls at the same time: the calls in flight are the count.

local concurrency = {}

function concurrency.new(slots, lease_ms)
  return { kind = 'c', slots = slots, lease_ms = lease_ms }
end

function concurrency.size(self)
  return self.slots
end

function concurrency.advance() end

-- When `cost` has room in so many slots, of which each is held for `lease_ms` at most.
function concurrency.room(slots, lease_ms, b, cost, now_ms)
  local missing = b.state.flight.cost + cost - slots
  if missing <= 0 then
    return now_ms, now_ms
  end
  local granted_ms = in_flight.grant_that_frees(b, missing) or now_ms
  local at_latest_ms = math.max(granted_ms + lease_ms, now_ms)
  return math.min(at_latest_ms, now_ms + ASK_AGAIN_MS), at_latest_ms
end

function concurrency.ready(self, b, cost, now_ms)
  return concurrency.room(self.slots, self.lease_ms, b, cost, now_ms)
end

function concurrency.at_a_time(self)
  return self.slots
end

function concurrency.use_within_ms(self)
  return math.floor(math.min(LANDS_WITHIN_MS, self.lease_ms) / 2)
end

function concurrency.spend() end

function concurrency.refund() end

function concurrency.landed() end

-- What remains is gone by the time it is read; the number of slots is not.
function concurrency.hear(self, _, heard)
  if heard.reading.limit then
    self.slots = size_told(self, heard, heard.reading.limit, self.slots)
    note_read(self, heard)
  end
end

function concurrency.gauge(_, b)
  return b.state.flight.cost, nil
end

function concurrency.held_ms(self)
  return self.lease_ms
end

-- Unix ms at which nothing of it is left, if no more is granted; the budget adds what is in flight.
function concurrency.rests_ms()
  return 0
end
