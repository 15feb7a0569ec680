-- One budget: the meter of one limit for one set of factors, with its refusals and its calls in flight.

local budget = {}

-- A chunk has at most 200 local names: those of this file end with it.
do

-- The least and the most that a key lives after a write.
local LEAST_TTL_MS, MOST_TTL_MS = 60000, 400 * 86400000

local METERS = { w = window, s = sliding, b = bucket, c = concurrency, g = slots, l = learn, k = circuit }
-- Kinds that count what is granted: others learn, or what is in flight is all that counts.
local COUNTS = { w = true, s = true, b = true }

-- A meter by what a limit allows, as in `w:300:60000:f`, `q:10000:86400000:day@UTC`, `s:600:60000`, `b:40:500000`, `c:5:300000`,
-- `g:4:1:100:300000`, `l:1:0.01:1000:0.005`,
-- `k:10:0.8:1000:60000:21600000` or `t`.
local function meter_of(rate)
  local start, floor, cap, share = string.match(rate, '^l:([^:]+):([^:]+):([^:]+):([^:]+)$')
  if start then
    return learn.new(tonumber(start), tonumber(floor), tonumber(cap), tonumber(share))
  end
  local begin, least, most, lease = string.match(rate, '^g:(%d+):(%d+):(%d+):(%d+)$')
  if begin then
    return slots.new(tonumber(begin), tonumber(least), tonumber(most), tonumber(lease))
  end
  local failures, weight, first, longest, patience = string.match(rate, '^k:([^:]+):([^:]+):([^:]+):([^:]+):([^:]+)$')
  if failures then
    return circuit.new(tonumber(failures), tonumber(weight), tonumber(first), tonumber(longest), tonumber(patience))
  end
  local calls, about_ms = string.match(rate, '^q:(%d+):(%d+):')
  if calls then
    return window.new(tonumber(calls), tonumber(about_ms), 'e')
  end
  local kind, one, two, aligned = string.match(rate, '^(%a):?(%d*):?(%d*):?(%a?)$')
  if kind == 'b' then
    return bucket.new(tonumber(one), tonumber(two))
  elseif kind == 's' then
    return sliding.new(tonumber(one), tonumber(two))
  elseif kind == 'c' then
    return concurrency.new(tonumber(one), tonumber(two))
  elseif kind == 'w' then
    return window.new(tonumber(one), tonumber(two), aligned)
  end
  return window.new(nil, 0, 'f')
end

-- Who asks knows the calendar: four Unix times in ms at which periods begin, the one before that which runs first.
local function know_edges(meter, charge)
  if charge.edges then
    meter.edges = {}
    for edge in string.gmatch(charge.edges, '[^:]+') do
      meter.edges[#meter.edges + 1] = tonumber(edge)
    end
  end
end

-- Its meter and those of other kinds that the limit had before, which are in `aside` by their kind, each with its rate.
function budget.meters(state)
  local meters = { state.meter }
  for _, aside in pairs(state.aside or {}) do
    meters[#meters + 1] = aside.meter
  end
  return meters
end

-- Its meter, and of those that were set aside the ones that count what is granted.
local function counting(state)
  if not state.aside then
    return { state.meter }
  end
  local meters = { state.meter }
  for kind, aside in pairs(state.aside) do
    if COUNTS[kind] then
      meters[#meters + 1] = aside.meter
    end
  end
  return meters
end

-- Nothing in flight.
local AT_REST = { state = { flight = in_flight.none() } }

-- A meter of which so much is used.
local function charged(meter, used, now_ms)
  local kind = METERS[meter.kind]
  used = COUNTS[meter.kind] and math.min(used, kind.size(meter) or 0) or 0
  if used > 0 then
    kind.spend(meter, AT_REST, used, now_ms)
  end
  return meter
end

local function under(old, new)
  local counting_on = METERS[new.kind].counting_on
  return counting_on and counting_on(new, old) or new
end

-- Takes on the rate of a charge. A meter of another kind is the one that was set aside before, or begins with what is in use.
local function turn_to(b, charge, now_ms)
  local state, new, old_rate = b.state, meter_of(charge.rate), b.state.rate
  state.rate = charge.rate
  if new.kind == state.meter.kind then
    state.meter = under(state.meter, new)
    return
  end
  local old, aside = state.meter, state.aside or {}
  local kept = aside[new.kind]
  if not kept then
    know_edges(new, charge)
    state.meter = charged(new, (METERS[old.kind].gauge(old, b, now_ms)), now_ms)
  else
    state.meter = kept.rate == charge.rate and kept.meter or under(kept.meter, new)
  end
  aside[new.kind], aside[old.kind] = nil, { rate = old_rate, meter = old }
  state.aside = aside
end

-- The budget as it is kept; its state is nil when nobody has used it.
function budget.load(keys)
  local packed = redis.call('GET', keys.state)
  return { keys = keys, packed = packed, state = packed and cmsgpack.unpack(packed) or nil }
end

function budget.create(b, charge)
  -- Calls of a budget that was evicted are none of this one's.
  redis.call('DEL', b.keys.flight, b.keys.costs)
  b.state = { limit = charge.limit, rate = charge.rate, meter = meter_of(charge.rate) }
  know_edges(b.state.meter, charge)
  b.state.flight, b.state.block = in_flight.none(), block.none()
  b.state.quiet_from, b.state.touched_ms = 0, 0
  b.state.overridden = b.wanted_rate and true or nil
end

-- Unix ms at which nothing of the budget is left but what it was told.
local function rests_ms(state)
  local at_ms, since_ms = 0, math.max(state.touched_ms, state.block.until_ms)
  for _, meter in ipairs(budget.meters(state)) do
    local kind = METERS[meter.kind]
    local used_ms = math.max(kind.KEPT_MS or IDLE_MS, state.flight.calls > 0 and kind.held_ms(meter) or 0)
    at_ms = math.max(at_ms, since_ms + used_ms, kind.rests_ms(meter))
  end
  return at_ms
end

-- Keeps what has changed, until it would be forgotten; returns it, without those who wait for it, and how long it is kept.
function budget.save(b, now_ms)
  local packed = b.state and cmsgpack.pack(b.state)
  if not packed or packed == b.packed then
    return nil
  end
  local ttl_ms = math.min(math.max(rests_ms(b.state) - now_ms, LEAST_TTL_MS), MOST_TTL_MS)
  redis.call('SET', b.keys.state, packed, 'PX', whole(ttl_ms))
  if b.state.flight.calls > 0 then
    redis.call('PEXPIRE', b.keys.flight, whole(ttl_ms))
  end
  if b.state.flight.odd > 0 then
    redis.call('PEXPIRE', b.keys.costs, whole(ttl_ms))
  end
  local waiting = b.state.line
  if waiting then
    b.state.line = nil
    packed = cmsgpack.pack(b.state)
    b.state.line = waiting
  end
  return packed, ttl_ms
end

function budget.drop(b)
  redis.call('DEL', b.keys.state, b.keys.flight, b.keys.costs)
end

-- Lets time pass.
function budget.advance(b, now_ms)
  in_flight.forget_until(b, now_ms - METERS[b.state.meter.kind].held_ms(b.state.meter))
  for _, meter in ipairs(counting(b.state)) do
    METERS[meter.kind].advance(meter, b, now_ms)
  end
end

local function affordable(meter, cost)
  return math.min(cost, METERS[meter.kind].size(meter) or cost)
end

-- Who asks, where a limit keeps what it says for higher lanes.
local function asker_of(by, charge)
  if not by or not charge.headroom_percent then
    return by
  end
  local own = { headroom_percent = charge.headroom_percent }
  for name, value in pairs(by) do
    own[name] = own[name] or value
  end
  return own
end

-- Slots that are kept for others.
local function kept(b, by, cost, now_ms)
  local at_a_time = by and METERS[b.state.meter.kind].at_a_time
  return at_a_time and line.kept(b.state.line, by, at_a_time(b.state.meter), cost, now_ms) or 0
end

-- How long each unit takes, where who asks has a pace.
local function step_us(meter, by)
  local even_us = METERS[meter.kind].even_us
  return even_us and line.step_us(by, even_us(meter)) or nil
end

-- When it is the turn of who asks.
local function in_turn(b, charge, by, until_ms, at_latest_ms, now_ms)
  local meter = b.state.meter
  local kind, cost = METERS[meter.kind], affordable(meter, charge.cost)
  local ahead = line.ahead(b.state.line, by, kind.size(meter) or 0, cost, now_ms)
  if ahead.now == 0 and ahead.place == 0 then
    return until_ms, at_latest_ms
  end
  local can_ms = kind.behind(meter, b, ahead.now, cost, now_ms)
  if not can_ms or can_ms <= now_ms and until_ms <= now_ms then
    return until_ms, at_latest_ms
  end
  local place_ms = kind.behind(meter, b, ahead.place, cost, now_ms)
  local look_ms = math.max(until_ms, now_ms + LOOK_AGAIN_MS)
  until_ms = math.min(math.max(place_ms, until_ms, now_ms + 1), look_ms)
  return until_ms, math.max(at_latest_ms, until_ms)
end

-- When the charge has room, by the meter and by what was refused: soon, and at the latest.
function budget.ready(b, charge, by, now_ms)
  local state = b.state
  if state.rate ~= charge.rate then
    turn_to(b, charge, now_ms)
  end
  local meter = state.meter
  know_edges(meter, charge)
  by = asker_of(by, charge)
  local cost = affordable(meter, charge.cost)
  local until_ms, at_latest_ms = METERS[meter.kind].ready(meter, b, cost + kept(b, by, cost, now_ms), now_ms)
  local go_ms, go_at_latest_ms = block.ready(state.block, now_ms)
  until_ms, at_latest_ms = math.max(until_ms, go_ms), math.max(at_latest_ms, go_at_latest_ms)
  if not by or not METERS[meter.kind].behind then
    return until_ms, at_latest_ms
  end
  until_ms, at_latest_ms = in_turn(b, charge, by, until_ms, at_latest_ms, now_ms)
  local paced_ms = step_us(meter, by) and line.paced_ms(state.line, now_ms) or now_ms
  return math.max(until_ms, paced_ms), math.max(at_latest_ms, paced_ms)
end

-- The most up to a number that fit, where one does and fewer fit where more do.
local function most(number, fits)
  if fits(number) then
    return number
  end
  local fit, too_many = 1, number
  while too_many - fit > 1 do
    local middle = math.floor((fit + too_many) / 2)
    if fits(middle) then
      fit = middle
    else
      too_many = middle
    end
  end
  return fit
end

-- Of so many charges alike, of which one has room, how many have room now and together.
function budget.fitting(b, charge, calls, by, now_ms)
  local meter = b.state.meter
  local kind = METERS[meter.kind]
  if meter.kind == 'k' then
    return meter.mode == 'closed' and calls or 1
  elseif not kind.use_within_ms or b.state.block.blind then
    return 1
  end
  by = by and asker_of(by, charge)
  local size, cost = kind.size(meter), affordable(meter, charge.cost)
  local step, ahead = by and step_us(meter, by), by and line.ahead(b.state.line, by, size or 0, cost, now_ms)
  local held_back = kept(b, by, cost, now_ms)
  local is_behind = ahead and ahead.now + ahead.place > 0 and kind.behind
  return most(calls, function(several)
    local together = cost * several
    if size and together > size or step and not line.are_due(b.state.line, together, step, now_ms) then
      return false
    end
    local _, at_latest_ms = kind.ready(meter, b, together + held_back, now_ms)
    local can_ms = is_behind and is_behind(meter, b, ahead.now, together, now_ms)
    return at_latest_ms <= now_ms and (not can_ms or can_ms <= now_ms)
  end)
end

-- How long after its grant a call may be sent: half of what it may take to land.
function budget.use_within_ms(b)
  local within = METERS[b.state.meter.kind].use_within_ms
  return within and within(b.state.meter) or LANDS_WITHIN_MS / 2
end

-- Who asks was told before to wait for it, and has come back. Whether any of its job was known to wait.
function budget.leave(b, by)
  return b.state.line and line.leave(b.state.line, by) or false
end

-- Who asks was told to come back at `until_ms` because of it: at its place in the line, or to look.
function budget.join(b, by, charge, until_ms, now_ms)
  local meter = b.state.meter
  local kind = METERS[meter.kind]
  if kind.at_a_time then
    line.see(line.of(b.state), by, now_ms)
  end
  if not kind.behind then
    return
  end
  by = asker_of(by, charge)
  local cost, step = affordable(meter, charge.cost), step_us(meter, by)
  if step and line.paced_ms(b.state.line, now_ms) then
    line.tell(b.state.line, cost, step, now_ms)
    return
  end
  local ahead = line.ahead(b.state.line, by, kind.size(meter) or 0, cost, now_ms)
  local place_ms = kind.behind(meter, b, ahead.place, cost, now_ms)
  if place_ms then
    line.join(line.of(b.state), by, until_ms, place_ms <= until_ms and ahead, now_ms)
  end
end

-- Who asks was granted its charge, so many times.
function budget.serve(b, by, cost, calls, now_ms)
  local meter = b.state.meter
  local kind = METERS[meter.kind]
  if kind.at_a_time then
    line.see(line.of(b.state), by, now_ms)
  elseif kind.behind and kind.behind(meter, b, 0, 1, now_ms) then
    local units, step = affordable(meter, cost) * calls, step_us(meter, by)
    line.serve(line.of(b.state), by, units, now_ms)
    if step then
      line.pace(b.state.line, units, step, now_ms)
    end
  end
end

-- Charges calls with the ids from this one on.
function budget.spend(b, id, cost, calls, now_ms)
  local meter = b.state.meter
  if meter.kind == 'k' and meter.mode == 'closed' then
    -- Only its report will count: nothing is kept of the call.
    b.state.touched_ms = b.state.touched_ms == 0 and now_ms or b.state.touched_ms
    return
  end
  block.go(b.state.block, id, now_ms)
  cost = affordable(meter, cost)
  for _, one in ipairs(counting(b.state)) do
    METERS[one.kind].spend(one, b, cost * calls, now_ms)
  end
  in_flight.add(b, id, calls, now_ms, cost)
  b.state.touched_ms = now_ms
end

local function hear(b, report, reading, held, now_ms)
  local state, meter = b.state, b.state.meter
  local kind = METERS[meter.kind]
  if reading then
    local took_ms = held and now_ms - held.granted_ms or kind.held_ms(meter)
    local heard = {
      reading = reading,
      remaining = reading.remaining and math.floor(math.max(reading.remaining, 0)),
      cost = held and held.cost or 0,
      took_ms = took_ms,
      granted_ms = now_ms - took_ms,
      alone = report.id >= state.quiet_from and state.flight.calls == 0,
      now_ms = now_ms,
    }
    -- Where somebody wanted another rate, answers speak of one that does not count.
    if not state.overridden then
      kind.hear(meter, b, heard)
    end
    if reading.pause_until_ms then
      block.pause_until(state.block, reading.pause_until_ms, now_ms)
    end
  end
  if not report.refused then
    block.succeed(state.block, report.id)
  end
end

-- Whether a time that was told is a limit's reset: by the provider's clock, or moved to ours by the answer's `Date`.
local function resets_at(reading, ms)
  local told_ms = not reading.reset_is_relative and reading.reset_at_ms
  return told_ms and (told_ms == ms or reading.clock_ahead_ms and told_ms - reading.clock_ahead_ms == ms)
end

-- Until when a budget is refused. A time at which a limit resets, as its headers tell it, says nothing of another.
function budget.refused_until_ms(b, report)
  local until_ms, own = report.refused_until_ms, report.readings[b]
  if until_ms and not (own and resets_at(own, until_ms)) then
    for _, reading in pairs(report.readings) do
      if resets_at(reading, until_ms) then
        return nil
      end
    end
  end
  return until_ms
end

-- What became of a call, as far as one limit is concerned.
local function outcome(b, report)
  if not report.answered then
    return 'other'
  elseif not report.refused then
    return 'accepted'
  end
  return report.refused_budgets[b] and 'refused' or 'other'
end

-- A call is over: it counts for what it cost, from when it landed, or not at all.
local function land(b, report, reading, held, now_ms)
  local cost = report.sent and report.answered and reading and reading.cost
  cost = cost and not b.state.overridden and cost * report.calls
  local tells = report.answered and reading and reading.remaining
  local granted = held.cost
  for _, meter in ipairs(counting(b.state)) do
    local kind = METERS[meter.kind]
    held.cost = granted
    if cost then
      if kind.settle then
        kind.settle(meter, held, cost)
      end
      held.cost = cost
    end
    if report.sent then
      kind.landed(meter, b, held, report.answered, now_ms)
    else
      kind.refund(meter, held, now_ms)
    end
    if report.sent and not tells and meter.kind == 'w' then
      window.tells_nothing(meter, held, now_ms)
    end
  end
end

-- Gives back what is not needed, and believes what was told.
function budget.settle(b, report, reading, now_ms)
  budget.advance(b, now_ms)
  local state, meter = b.state, b.state.meter
  local held = in_flight.take(b, report.id, report.calls)
  if meter.kind == 'k' then
    for _ = 1, report.calls do
      circuit.went(meter, held, report.health, now_ms)
    end
    if report.health == 'ill' or report.health == 'silent' then
      state.touched_ms = now_ms
    end
    return
  end
  state.touched_ms = now_ms
  block.finish(state.block, report.id, report.calls)
  if held then
    land(b, report, reading, held, now_ms)
  end
  if held and report.sent and meter.kind == 'l' then
    learn.report(meter, outcome(b, report), held.cost, held.granted_ms, budget.refused_until_ms(b, report), now_ms)
  end
  if held and meter.kind == 'g' then
    slots.went(meter, b, held, report, now_ms)
  end
  if report.sent and report.answered then
    hear(b, report, reading, held, now_ms)
  end
  state.quiet_from = report.next_id
end

-- Whether it may be what a call was refused for: a breaker is not.
function budget.refuses(b)
  return b.state and b.state.meter.kind ~= 'k'
end

-- Whether it is known how much fits.
function budget.is_known(b)
  return b.state.meter.kind ~= 'l' and METERS[b.state.meter.kind].size(b.state.meter) ~= nil
end

-- Whether such a cost would fit now, by what is counted and was told.
function budget.has_room(b, cost, now_ms)
  local meter = b.state.meter
  local _, at_latest_ms = METERS[meter.kind].ready(meter, b, affordable(meter, cost), now_ms)
  return at_latest_ms <= now_ms
end

function budget.refuse(b, report, now_ms)
  local until_ms = budget.refused_until_ms(b, report)
  if b.state.meter.kind == 'k' then
    return -- A refusal is an answer.
  end
  if b.state.meter.kind ~= 'l' then
    local ends_ms = METERS[b.state.meter.kind].ends_ms
    ends_ms = ends_ms and ends_ms(b.state.meter)
    until_ms = until_ms or report.lasts_period and ends_ms
    block.refuse(b.state.block, report.id, report.next_id, until_ms, ends_ms, now_ms)
  elseif until_ms then
    block.pause_until(b.state.block, until_ms, now_ms)
  end
  b.state.touched_ms = now_ms
end

-- Whether the call that was just granted is a probe whose failure costs no attempt.
function budget.probes_free(b, now_ms)
  return b.state.meter.kind == 'k' and circuit.probes_free(b.state.meter, now_ms)
end

-- Since when the provider is ill, where it was found to be.
function budget.down_since_ms(b)
  local down = b.state and b.state.meter.kind == 'k' and circuit.down(b.state.meter)
  return down and down[1] or nil
end

-- How full it is, from 0 for empty. Where nobody knows what fits, whoever has fewer calls in flight has more room.
function budget.fullness(b, now_ms)
  local meter, flying = b.state.meter, b.state.flight.cost
  local size = METERS[meter.kind].size(meter)
  if not size then
    return flying / (flying + 1)
  end
  local used = METERS[meter.kind].gauge(meter, b, now_ms)
  return used / size
end

-- What people see: limit, used, size, when it resets, until when it is blocked, what was learnt, since when it is ill, what was
-- learnt of slots.
function budget.usage(b, now_ms)
  budget.advance(b, now_ms)
  local state, meter = b.state, b.state.meter
  local used, resets_at_ms = METERS[meter.kind].gauge(meter, b, now_ms)
  local blocked_ms = state.block.until_ms > now_ms and state.block.until_ms
  return { state.limit, used, METERS[meter.kind].size(meter) or false, resets_at_ms or false, blocked_ms,
    meter.kind == 'l' and learn.lesson(meter), meter.kind == 'k' and circuit.down(meter),
    meter.kind == 'g' and slots.lesson(meter) }
end

-- Whether forgetting it changes no decision but by what it was told long ago.
function budget.is_idle(b, now_ms)
  budget.advance(b, now_ms)
  -- How often it was refused counts for those who come back when a pause is over.
  local since_ms = math.max(b.state.touched_ms, b.state.block.until_ms)
  for _, meter in ipairs(budget.meters(b.state)) do
    local kind = METERS[meter.kind]
    local used = kind.gauge(meter, b, now_ms)
    if used > 0 or now_ms - since_ms < (kind.KEPT_MS or IDLE_MS) then
      return false
    end
  end
  return true
end

end
