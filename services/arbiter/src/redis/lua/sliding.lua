-- A sliding window: what is used, by slices of a 64th of its length: number since 1970, latest landing, cost.

local sliding = {}

-- A chunk has at most 200 local names: those of this file end with it.
do

local SLICES = 64

function sliding.new(calls, per_ms)
  return { kind = 's', calls = calls, per_ms = per_ms, slices = {}, landed_ms = NEVER_MS }
end

-- A call granted no longer ago may yet land.
local function landing_ms(self)
  return math.min(LANDS_WITHIN_MS, math.floor(self.per_ms / 4))
end

local function slice_ms(self)
  return math.floor((self.per_ms + SLICES - 1) / SLICES)
end

local function number_of(self, at_ms)
  return math.floor(at_ms / slice_ms(self))
end

local function used_of(self)
  local used = 0
  for _, slice in ipairs(self.slices) do
    used = used + slice[3]
  end
  return used
end

local function add(self, at_ms, cost)
  local number, place = number_of(self, at_ms), #self.slices
  while place > 0 and self.slices[place][1] > number do
    place = place - 1
  end
  local slice = self.slices[place]
  if slice and slice[1] == number then
    slice[2], slice[3] = math.max(slice[2], at_ms), slice[3] + cost
  else
    table.insert(self.slices, place + 1, { number, at_ms, cost })
  end
end

-- Keeps the slices in which anything is left.
local function tidy(self)
  local kept = {}
  for _, slice in ipairs(self.slices) do
    if slice[3] > 0 then
      kept[#kept + 1] = slice
    end
  end
  self.slices = kept
end

-- Removes up to `cost` from what landed at a time: how much that was.
local function take(self, at_ms, cost)
  local number = number_of(self, at_ms)
  for _, slice in ipairs(self.slices) do
    if slice[1] == number then
      local taken = math.min(slice[3], cost)
      slice[3] = slice[3] - taken
      tidy(self)
      return taken
    end
  end
  return 0
end

-- Forgets the oldest `cost`.
local function forget(self, cost)
  for _, slice in ipairs(self.slices) do
    local taken = math.min(slice[3], cost)
    slice[3], cost = slice[3] - taken, cost - taken
  end
  tidy(self)
end

-- The slice with which, after all before it, `cost` has left.
local function frees(self, cost)
  local left = 0
  for _, slice in ipairs(self.slices) do
    left = left + slice[3]
    if left >= cost then
      return slice
    end
  end
end

-- When a slice leaves, if all that may land by now has landed.
local function soon_ms(self, slice, now_ms)
  return math.min(slice[2], now_ms) + self.per_ms
end

-- When a slice leaves at the latest: what is in flight may yet be answered within it.
local function slice_at_latest_ms(self, slice, now_ms)
  local is_over = self.slices[#self.slices][1] == slice[1] or slice[1] < number_of(self, now_ms)
  return (is_over and slice[2] or (slice[1] + 1) * slice_ms(self) - 1) + self.per_ms
end

function sliding.counting_on(self, old)
  for _, slice in ipairs(old.slices) do
    add(self, slice[2], slice[3])
  end
  self.landed_ms = old.landed_ms
  self.perhaps, self.perhaps_ms, self.read_ms = old.perhaps, old.perhaps_ms, old.read_ms
  return self
end

function sliding.size(self)
  return self.told_size or self.calls
end

-- How long one unit takes where all that fits is spread evenly, in µs.
function sliding.even_us(self)
  return math.floor(self.per_ms * 1000 / math.max(sliding.size(self), 1))
end

-- What is missing of a cost.
local function missing_of(self, cost)
  return math.max(used_of(self) + cost - sliding.size(self), 0)
end

function sliding.advance(self, _, now_ms)
  if self.perhaps and self.perhaps_ms + self.per_ms <= now_ms then
    self.perhaps, self.perhaps_ms = nil, nil
  end
  while self.slices[1] and self.slices[1][2] + self.per_ms <= now_ms do
    table.remove(self.slices, 1)
  end
end

-- When so much has left; nil where that is more than is used for sure.
local function freed(self, missing, now_ms)
  local slice = missing > 0 and frees(self, missing)
  if slice then
    return soon_ms(self, slice, now_ms), slice_at_latest_ms(self, slice, now_ms)
  elseif missing == 0 then
    return now_ms, now_ms
  end
end

function sliding.ready(self, b, cost, now_ms)
  local perhaps = self.perhaps or 0
  local missing = missing_of(self, cost + perhaps)
  local until_ms, at_latest_ms = freed(self, missing, now_ms)
  if perhaps == 0 or missing == 0 then
    return until_ms or now_ms, at_latest_ms or now_ms
  end
  local surely_ms, surely_at_latest_ms = freed(self, missing_of(self, cost), now_ms)
  surely_ms, surely_at_latest_ms = surely_ms or now_ms, surely_at_latest_ms or now_ms
  local gone_ms = self.perhaps_ms + self.per_ms
  until_ms = math.min(until_ms or math.huge, math.max(surely_ms, gone_ms))
  at_latest_ms = math.min(at_latest_ms or math.huge, math.max(surely_at_latest_ms, gone_ms))
  -- With the next answer there may be less of what is not sure.
  if in_flight.cost_since(b, self.landed_ms) > 0 then
    until_ms = math.min(until_ms, math.max(surely_ms, now_ms + ASK_AGAIN_MS))
  end
  return until_ms, at_latest_ms
end

-- When `cost` has room behind so much that goes before it.
function sliding.behind(self, _, ahead, cost, now_ms)
  local missing = missing_of(self, (self.perhaps or 0) + ahead + cost)
  if missing == 0 then
    return now_ms
  end
  local slice = frees(self, missing) or self.slices[#self.slices]
  return slice and soon_ms(self, slice, now_ms) or now_ms + self.per_ms
end

function sliding.spend(self, _, cost, now_ms)
  add(self, now_ms + landing_ms(self), cost)
end

function sliding.refund(self, held)
  if held.granted_ms > self.landed_ms then
    take(self, held.granted_ms + landing_ms(self), held.cost)
  end
end

-- An answer told that the call, granted for `held.cost`, cost `cost`.
function sliding.settle(self, held, cost)
  if held.granted_ms > self.landed_ms then
    local latest_ms = held.granted_ms + landing_ms(self)
    local settled = math.max(take(self, latest_ms, held.cost) + cost - held.cost, 0)
    if settled > 0 then
      add(self, latest_ms, settled)
    end
  end
end

function sliding.landed(self, _, held, _, now_ms)
  local latest_ms = held.granted_ms + landing_ms(self)
  if now_ms < latest_ms then
    local cost = take(self, latest_ms, held.cost)
    if cost > 0 then
      add(self, now_ms, cost)
    end
  end
end

function sliding.hear(self, b, heard)
  local limit, left = heard.reading.limit, heard.remaining
  if limit or left and left > sliding.size(self) then
    self.told_size = size_told(self, heard, limit or left, sliding.size(self))
  end
  note_read(self, heard)
  self.landed_ms = math.max(self.landed_ms, heard.granted_ms - landing_ms(self))
  if not left then
    return
  end
  local told, used = math.max((limit or sliding.size(self)) - left, 0), used_of(self)
  if told > used then
    add(self, heard.now_ms, told - used)
  elseif heard.alone then
    forget(self, used - told)
  end
  -- What is in flight may not be in what was told: so much more may be others'.
  local flying = in_flight.cost_since(b, heard.granted_ms - landing_ms(self))
  local perhaps = math.max(told + flying - used_of(self), 0)
  -- This call is in what was told most, by its own answer or another, and so no more in doubt.
  local before = math.max((self.perhaps or 0) - heard.cost, 0)
  self.perhaps, self.perhaps_ms = math.max(before, perhaps), perhaps > before and heard.now_ms or self.perhaps_ms
  if self.perhaps == 0 then
    self.perhaps, self.perhaps_ms = nil, nil
  end
end

function sliding.use_within_ms(self)
  return math.floor(landing_ms(self) / 2)
end

function sliding.gauge(self)
  local last, perhaps = self.slices[#self.slices], self.perhaps
  local last_ms = math.max(last and last[2] or NEVER_MS, perhaps and self.perhaps_ms or NEVER_MS)
  return used_of(self) + (perhaps or 0), last_ms > NEVER_MS and last_ms + self.per_ms or nil
end

function sliding.held_ms()
  return HELD_MS
end

function sliding.rests_ms(self)
  local _, resets_ms = sliding.gauge(self)
  return resets_ms or 0
end

end
