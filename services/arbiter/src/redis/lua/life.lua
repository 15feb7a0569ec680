-- The life of the store: it begins with the first use, and anew where data was lost. An arbiter keeps the state of each budget as
-- it saw it last; where it meets another life than it knows, or an earlier state of that, it tells all that it knows, and
-- budgets go on from there. Who knows of no life takes the one that is.
-- The key holds when the life began (Unix µs), and until when nothing is granted (Unix ms), so that every arbiter has told.

local RECOVERY_MS = 3000
local LIFE_TTL_MS = 400 * 86400000

local life = {}

local function load(key)
  local began, recovered_ms = string.match(redis.call('GET', key) or '', '^(%d+):(%d+)$')
  return began, tonumber(recovered_ms)
end

local function begin(key, now_us, recovered_ms)
  local began = whole(now_us)
  redis.call('SET', key, began .. ':' .. whole(recovered_ms), 'PX', whole(LIFE_TTL_MS))
  return began, recovered_ms
end

-- The life, and until when nothing is granted in it; nil where what the caller knows was lost.
function life.meet(key, args, last_id, now_us)
  local began, recovered_ms = load(key)
  if args[3] ~= '' and (began ~= args[3] or last_id < tonumber(args[4])) then
    return nil
  elseif not began then
    return begin(key, now_us, 0)
  end
  return began, recovered_ms
end

-- The life that is, begun anew if nobody has done so since the data was lost.
function life.renew(key, args, last_id, now_us, now_ms)
  local began, recovered_ms = load(key)
  if not began or began == args[3] and last_id < tonumber(args[4]) then
    return begin(key, now_us, now_ms + RECOVERY_MS)
  end
  return began, recovered_ms
end

-- Until when nothing is granted, once arbiters are back that may have granted by themselves since they heard of the store at
-- `heard_ms`: so that all have told.
function life.pause(key, began, recovered_ms, heard_ms, now_ms)
  if recovered_ms - RECOVERY_MS >= heard_ms then
    return recovered_ms
  end
  redis.call('SET', key, began .. ':' .. whole(now_ms + RECOVERY_MS), 'PX', whole(LIFE_TTL_MS))
  return now_ms + RECOVERY_MS
end

local function at_rest(state, before_id)
  for _, meter in ipairs(budget.meters(state)) do
    if meter.kind == 'l' then
      learn.at_rest(meter)
    elseif meter.kind == 'g' then
      slots.at_rest(meter)
    elseif meter.kind == 'k' then
      meter.probed_ms = 0
    end
  end
  local flight = state.flight
  -- A call from before may still be in flight, so no answer of one is the whole truth.
  state.flight, state.quiet_from = in_flight.none(), before_id
  return flight
end

-- The meter with what another of its kind used in another life.
local function with(meter, other, now_ms)
  if meter.kind == 'b' then
    meter.full_at_us = math.max(meter.full_at_us, now_ms * 1000) + math.max(other.full_at_us - now_ms * 1000, 0)
  elseif meter.kind == 'w' and other.open and other.open.over_ms > now_ms then
    if not meter.open or meter.open.over_ms < other.open.over_ms then
      meter.open = other.open
    end
    meter.used, meter.own = meter.used + other.used, (meter.own or 0) + (other.own or other.used)
  elseif meter.kind == 's' then
    sliding.counting_on(meter, other)
  elseif meter.kind == 'l' and meter.mode == 'ramp' or meter.kind == 'g' and meter.base_us == 0 then
    return other
  end
  return meter
end

-- Adds what was used in another life: by an arbiter that tells late, or where the first to come knew nothing.
local function add(state, told, now_ms)
  state.block.until_ms = math.max(state.block.until_ms, told.block.until_ms)
  local others = {}
  for _, other in ipairs(budget.meters(told)) do
    others[other.kind] = other
  end
  local own = others[state.meter.kind]
  state.meter = own and with(state.meter, own, now_ms) or state.meter
  for kind, aside in pairs(state.aside or {}) do
    aside.meter = others[kind] and with(aside.meter, others[kind], now_ms) or aside.meter
  end
end

-- Takes over a budget as somebody saw it at `known_us`, unless later sight of it was told. Calls in flight are known by their
-- number: permits from before `before_id`.
function life.take_over(b, told, known_us, began, recovered_ms, before_id, now_ms)
  local state = b.state
  if state and state.life == began and state.known_us >= known_us then
    return
  end
  local flight, spent = at_rest(told, before_id), state and state.spent
  if state and now_ms >= recovered_ms then
    add(state, told, now_ms)
  else
    redis.call('DEL', b.keys.flight, b.keys.costs)
    b.state = told
    away.again(b, spent, began, before_id, now_ms)
  end
  b.state.life, b.state.known_us = began, known_us
  if flight.calls > 0 then
    in_flight.add_unnamed(b, flight.calls, flight.cost, told.touched_ms, before_id)
  end
end

