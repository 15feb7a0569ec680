-- What arbiters granted by themselves while the store was away, told when it is back.

local away = {}

-- Windows that began with a call: while one ran here, it was counted on; the provider began the next with the first call that an
-- arbiter granted then. Where several may have followed one another, nobody knows where the one lies that runs.
local function count_in_window(meter, b, units, first_ms, now_ms)
  if not meter.open and first_ms and meter.aligned ~= 'e' and meter.per_ms > 0 then
    local start_ms, known = first_ms, true
    if now_ms - first_ms >= meter.per_ms then
      start_ms, known, units = now_ms, false, math.max(units, window.size(meter) or 0)
    end
    window.begin(meter, start_ms, now_ms)
    meter.open.away = known or nil
  elseif meter.open and meter.open.away and first_ms and first_ms < meter.open.start_ms then
    window.begin(meter, first_ms, now_ms)
    meter.open.away = true
  end
  window.spend(meter, b, units, now_ms)
end

local function count(b, spent, before_id, now_ms)
  for _, meter in ipairs(budget.meters(b.state)) do
    if meter.kind == 'w' then
      count_in_window(meter, b, spent.units, spent.first_ms, now_ms)
    elseif meter.kind == 'b' then
      bucket.spend(meter, b, spent.units, now_ms)
    elseif meter.kind == 's' and spent.units > 0 then
      sliding.spend(meter, b, spent.units, now_ms)
    end
  end
  if spent.calls > 0 then
    in_flight.add_unnamed(b, spent.calls, spent.cost, spent.granted_ms, before_id)
  end
  -- A call from before may still be in flight, so no answer of one is the whole truth.
  b.state.quiet_from, b.state.touched_ms = before_id, now_ms
end

-- Charges what was used, and takes up the calls that are in flight: permits from before `before_id`.
function away.charge(b, charge, spent, began, before_id, now_ms)
  if not b.state then
    budget.create(b, charge)
  end
  budget.advance(b, now_ms)
  count(b, spent, before_id, now_ms)
  local all = b.state.spent
  if not all or all.began ~= began then
    all = { began = began, of = {} }
  end
  all.of[#all.of + 1] = spent
  b.state.spent = all
end

-- Charges again what was charged in this life: the budget is as another arbiter saw it, later but before that.
function away.again(b, all, began, before_id, now_ms)
  b.state.spent = nil
  if not all or all.began ~= began then
    return
  end
  budget.advance(b, now_ms)
  for _, spent in ipairs(all.of) do
    count(b, spent, before_id, now_ms)
  end
  b.state.spent = all
end
