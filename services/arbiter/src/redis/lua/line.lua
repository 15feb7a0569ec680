-- Who goes first where a limit is not enough for all: turns by lane, tenant, job and credential. In a budget's state: `served`,
-- `jobs` by lane, tenant, name and credential, `seen`, when each lane was, and for the pace of the lowest lane `paced_us`, when its
-- next unit is due, and `told_us`, until when its units were told to come.

local LOOK_AGAIN_MS = 2000

local line = {}

-- A chunk has at most 200 local names: those of this file end with it.
do

local SEEN_MS = 60000
local PATIENCE_MS = 5000
local JOBS_MAX = 192
local TAGS_MAX = 256
local CATCH_UP_MS = 100

local function waits(turn, now_ms)
  return turn.waiting > 0 and now_ms <= turn.until_ms + PATIENCE_MS
end

local function key_of(self, by)
  local key, jobs = (by.rank - 1) .. '/' .. by.tenant .. '/' .. by.job, 0
  if by.credential ~= '' then
    key = key .. '/' .. by.credential
  end
  if self.jobs[key] then
    return key
  end
  for _ in pairs(self.jobs) do
    jobs = jobs + 1
  end
  if jobs < JOBS_MAX then
    return key
  end
  local of_tenant = (by.rank - 1) .. '/' .. by.tenant .. '/'
  return (self.jobs[of_tenant] or jobs < TAGS_MAX) and of_tenant or (by.rank - 1) .. '//'
end

-- Names of a turn's tenant and job, made once for each time that it is read: there may be hundreds of turns, and each question looks
-- at all.
local NAMES_MAX = 1024
local names, named = {}, 0

local function names_of(turn)
  local found = names[turn]
  if not found then
    if named >= NAMES_MAX then
      names, named = {}, 0
    end
    local of_tenant = turn.rank .. '/' .. turn.tenant
    found = { of_tenant, of_tenant .. '/' .. (turn.job or '') }
    names[turn], named = found, named + 1
  end
  return found[1], found[2]
end

-- The weight of each credential of a job: of those who wait, and who asks.
local function weights(self, own, by, now_ms)
  local all, tenants, jobs, credentials = { 0, 0, 0, 0 }, {}, {}, {}
  local function add(turn)
    local rank, their_weight, of_tenant, of_job = turn.rank, turn.weight or 1, names_of(turn)
    local before = tenants[of_tenant] or 0
    if their_weight > before then
      tenants[of_tenant], all[rank] = their_weight, all[rank] + their_weight - before
    end
    local of_job_before = credentials[of_job]
    if not of_job_before then
      jobs[of_tenant] = (jobs[of_tenant] or 0) + 1
    end
    credentials[of_job] = (of_job_before or 0) + 1
  end
  for key, turn in pairs(self.jobs) do
    if key ~= own and waits(turn, now_ms) then
      -- A turn that an earlier release kept has no weight.
      add(turn)
    end
  end
  add(by)
  return function(turn)
    local of_tenant, of_job = names_of(turn)
    return by.sharing.weights[turn.rank] * (tenants[of_tenant] or 1) / math.max(all[turn.rank], 1) / (jobs[of_tenant] or 1)
      / (credentials[of_job] or 1)
  end
end

-- How many units of a job go before a place.
local function before(turn, place, start, step, now_ms)
  local units = (place - start) / step
  if turn.told > place and turn.told_ms > now_ms then
    units = math.floor(units) + 1
  else
    units = math.ceil(units)
  end
  return math.min(math.max(units, 0), turn.waiting)
end

local function lane_waits(self, rank, now_ms)
  for _, turn in pairs(self.jobs) do
    if turn.rank == rank and waits(turn, now_ms) then
      return true
    end
  end
  return false
end

-- What is kept for higher lanes, in per cent; where one of them waits, its turn comes.
local function headroom(self, by, now_ms)
  local kept = 0
  for higher = 1, by.rank - 1 do
    if now_ms - self.seen[higher] < SEEN_MS and not lane_waits(self, higher, now_ms) then
      kept = kept + by.headroom_percent[higher]
    end
  end
  return kept
end

-- Slots that are kept for higher lanes: at least one of those for whom any part is kept, and never all.
function line.kept(self, by, slots_now, cost, now_ms)
  local kept = self and math.ceil(headroom(self, by, now_ms) * slots_now / 100) or 0
  return math.min(kept, math.max(slots_now - cost, 0))
end

-- It is there: slots have no line, but something is kept of them for its lane.
function line.see(self, by, now_ms)
  self.seen[by.rank] = now_ms
end

-- What goes before a question: now, at its place, the tag up to which its job has places then, and whether it goes before the
-- others of its job.
function line.ahead(self, by, size, cost, now_ms)
  if not self then
    return { now = 0, place = 0, told = 0, is_head = true }
  end
  local kept = math.floor(headroom(self, by, now_ms) * size / 100)
  kept = math.min(kept, math.max(size - cost, 0))
  local others, key, anybody = {}, key_of(self, by), false
  for other, turn in pairs(self.jobs) do
    if waits(turn, now_ms) then
      anybody = true
      others[#others + 1] = other ~= key and turn or nil
    end
  end
  if not anybody then
    return { now = kept, place = kept, told = 0, is_head = true }
  end
  local weight = weights(self, key, by, now_ms)
  local step, own = 1 / weight(by), self.jobs[key]
  local start = own and math.max(own.tag, self.served) or self.served
  -- Behind those that were told places, unless the first of them is not on its way any more.
  local told = own and own.told_ms > now_ms and math.max(own.told, start) or start
  local is_head = not own or own.head_ms <= now_ms
  local place = is_head and start or told
  local in_front = math.min(math.floor((place - start) / step + 0.5), own and own.waiting or 0)
  -- A lane that nobody of waits goes before those below it.
  local least = lane_waits(self, by.rank, now_ms) and #by.sharing.weights or by.rank
  local now, at_place = kept, kept + in_front
  for _, turn in ipairs(others) do
    local begins, their_step = math.max(turn.tag, self.served), 1 / weight(turn)
    local units = math.max(math.ceil((start - begins) / their_step), 0)
    now = now + (turn.rank <= least and math.min(units, turn.waiting) or 0)
    at_place = at_place + before(turn, place, begins, their_step, now_ms)
  end
  return { now = now, place = at_place, told = math.max(told, place + step * cost), is_head = is_head }
end

-- Forgets those who have gone; when nobody waits, all.
local function forget(self, now_ms)
  local anybody = false
  for key, turn in pairs(self.jobs) do
    if waits(turn, now_ms) then
      anybody = true
    elseif turn.tag <= self.served or now_ms > turn.until_ms + PATIENCE_MS then
      self.jobs[key] = nil
    end
  end
  if not anybody then
    self.jobs, self.served = {}, 0
  end
end

local function turn_of(self, by, until_ms)
  local key = key_of(self, by)
  local turn = self.jobs[key]
  if not turn then
    turn = { rank = by.rank, tenant = by.tenant, job = by.job, weight = by.weight, tag = self.served, waiting = 0 }
    turn.until_ms = until_ms
    turn.told, turn.told_ms, turn.head_ms = 0, 0, 0
    self.jobs[key] = turn
  end
  return turn
end

-- The line, once somebody is to stand in it.
function line.of(state)
  state.line = state.line or { served = 0, jobs = {}, seen = { 0, 0, 0, 0 } }
  return state.line
end

-- It was told to come back at `until_ms`, which is its place in the line if `ahead` is given.
function line.join(self, by, until_ms, ahead, now_ms)
  forget(self, now_ms)
  self.seen[by.rank] = now_ms
  local turn = turn_of(self, by, until_ms)
  turn.waiting, turn.until_ms = turn.waiting + 1, math.max(turn.until_ms, until_ms)
  if ahead then
    turn.told = ahead.told
    turn.told_ms = turn.told_ms > now_ms and math.max(turn.told_ms, until_ms) or until_ms
    turn.head_ms = ahead.is_head and until_ms or turn.head_ms
  end
end

-- It has come back, and so waits no more. Whether any of its job was known to wait.
function line.leave(self, by)
  local turn = self.jobs[key_of(self, by)]
  if not turn or turn.waiting == 0 then
    return false
  end
  turn.waiting = turn.waiting - 1
  return true
end

-- It was granted.
function line.serve(self, by, cost, now_ms)
  forget(self, now_ms)
  self.seen[by.rank] = now_ms
  if next(self.jobs) == nil then
    return
  end
  local weight = weights(self, key_of(self, by), by, now_ms)(by)
  local turn = turn_of(self, by, now_ms)
  self.served = math.max(turn.tag, self.served)
  turn.tag = self.served + cost / weight
end

-- How long each unit takes of a limit that has it evenly in `even_us`, where who asks has a pace.
function line.step_us(by, even_us)
  local percent = by.sharing.trickle_percent
  return even_us and by.rank == #by.sharing.weights and percent > 0 and math.max(math.floor(even_us * 100 / percent), 1) or nil
end

-- Behind those who were told to come, but not later than to look again.
local function place_us(self, now_ms)
  return math.max(math.min(self.told_us or 0, (now_ms + LOOK_AGAIN_MS) * 1000), self.paced_us or 0)
end

-- When who has a pace is to come, if it does not have its unit now.
function line.paced_ms(self, now_ms)
  return self and (self.paced_us or 0) > now_ms * 1000 and math.ceil(place_us(self, now_ms) / 1000) or nil
end

-- Whether so many units, each of which takes a step, are due.
function line.are_due(self, units, step_us, now_ms)
  local first_us = math.max(self and self.paced_us or 0, (now_ms - CATCH_UP_MS) * 1000)
  return first_us + step_us * math.max(units - 1, 0) <= now_ms * 1000
end

-- Who has a pace was told to come for its units: the next comes after it.
function line.tell(self, units, step_us, now_ms)
  self.told_us = place_us(self, now_ms) + step_us * units
end

-- Who has a pace was granted its units.
function line.pace(self, units, step_us, now_ms)
  self.paced_us = math.max(self.paced_us or 0, (now_ms - CATCH_UP_MS) * 1000) + step_us * units
end

end
