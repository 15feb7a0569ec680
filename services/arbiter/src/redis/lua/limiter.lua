-- The functions. Keys: the last permit's id, the index of budgets, the overrides, the store's life, then state, calls and costs
-- of each budget. Arguments: the caller's time in Unix ms, and whether it counts (tests) or the server's does; the life that the
-- caller knows, and the last permit's id in it; how lanes share; then the questions or reports, flat, with budgets by their
-- number. Every reply begins with the time that counted, and ends with it where questions and reports find that what the caller
-- knows was lost.

-- Longer than any window.
local INDEX_TTL_MS = 400 * 86400000

local function clock(args)
  if args[2] == '1' then
    return tonumber(args[1]), tonumber(args[1]) * 1000
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000), time[1] * 1000000 + time[2]
end

local function budgets_of(keys)
  local budgets = {}
  for i = 5, #keys, 3 do
    -- Up to the braces' end stands the prefix; what follows `state:` is the budget's own name.
    local name = string.match(keys[i], '}:state:(.*)$')
    budgets[#budgets + 1] = budget.load({ name = name, state = keys[i], flight = keys[i + 1], costs = keys[i + 2] })
  end
  return budgets
end

-- Returns what the caller is to know of it: the life, the time in Unix µs, the last permit's id, and for each budget that has
-- changed its number, the time of what is known of it, how long it is kept, and its state.
local function save_all(met)
  local known = { met.began, met.now_us, met.last_id }
  for number, b in ipairs(met.budgets) do
    local packed, ttl_ms = budget.save(b, met.now_ms)
    if packed then
      -- Until all have told, it is known no better than by the latest that was.
      local told = met.now_ms < met.recovered_ms and b.state.life == met.began
      local known_us = told and b.state.known_us or met.now_us
      local at = #known
      known[at + 1], known[at + 2], known[at + 3], known[at + 4] = number, known_us, ttl_ms, packed
    end
  end
  return known
end

-- Where the caller knows what was not lost: the time, the budgets, where `obeys` with what people want of them, and what is known
-- of the store; nil, and the time as the reply, elsewhere.
local function begin(keys, args, obeys)
  local now_ms, now_us = clock(args)
  local last_id = tonumber(redis.call('GET', keys[1]) or 0)
  local began, recovered_ms = life.meet(keys[4], args, last_id, now_us)
  if not began then
    return nil, { now_ms }
  end
  local budgets = budgets_of(keys)
  if obeys then
    overrides.load(budgets, keys[3], now_ms)
  end
  return { now_ms = now_ms, now_us = now_us, last_id = last_id, began = began, recovered_ms = recovered_ms,
    ahead_ms = now_ms - tonumber(args[1]), budgets = budgets }
end

-- Takes arguments one after the other.
local function reader(args)
  local at = 5
  return function()
    at = at + 1
    return args[at]
  end
end

-- Reads all limits: false when all have room, else when they do, at the latest, when the one does that binds, its charge, and the
-- pause that it binds by, if it does, or since when its provider is ill.
local function binding(charges, by_whom, now_ms)
  local found = false
  for _, charge in ipairs(charges) do
    local b, soon_ms, latest_ms = charge.budget, now_ms, now_ms
    if b.state then
      budget.advance(b, now_ms)
      b.state.overridden = b.wanted_rate and true or nil
      soon_ms, latest_ms = budget.ready(b, charge, by_whom, now_ms)
    end
    local pause = b.pause and b.pause.end_ms > soon_ms and b.pause or nil
    local end_ms = pause and pause.end_ms or soon_ms
    soon_ms = math.min(soon_ms, overrides.look_ms(b, now_ms))
    if b.pause then
      local back_ms = overrides.back_ms(b.pause, now_ms)
      soon_ms, latest_ms = math.max(soon_ms, back_ms), math.max(latest_ms, back_ms)
    end
    if latest_ms > now_ms then
      found = found or { until_ms = soon_ms, at_latest_ms = latest_ms }
      if not found.by or end_ms > found.end_ms then
        found.by, found.end_ms, found.pause = charge, end_ms, pause
        found.down_ms = not pause and budget.down_since_ms(b) or nil
      end
      found.until_ms, found.at_latest_ms = math.max(found.until_ms, soon_ms), math.max(found.at_latest_ms, latest_ms)
    end
  end
  return found
end

-- How many calls have room at once, where one has.
local function fitting(charges, by_whom, want, now_ms)
  local calls = math.min(math.max(want, 1), LEASE_MAX)
  for _, charge in ipairs(charges) do
    calls = calls == 1 and 1 or charge.budget.state and budget.fitting(charge.budget, charge, calls, by_whom, now_ms) or 1
  end
  return calls
end

local function numbers_of(text)
  local numbers = {}
  for number in string.gmatch(text, '%d+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  return numbers
end

-- The same in nearly every call.
local sharing = {}

-- How lanes share: the weight of each, what is kept for it from those below, and the pace of the lowest, in per cent; as in
-- `1000,100,10,1,10,10,5,0,100`.
local function sharing_of(text)
  if sharing.text ~= text then
    local numbers = numbers_of(text)
    sharing = { text = text, weights = { unpack(numbers, 1, 4) }, headroom_percent = { unpack(numbers, 5, 8) },
      trickle_percent = numbers[9] }
  end
  return sharing
end

-- Who asks, if a question says so: lane, tenant with its weight, job, credential, and the limit that was waited for.
local function asker(take, sharing)
  local lane = tonumber(take())
  return lane and { rank = math.min(lane, 3) + 1, tenant = take(), weight = tonumber(take()), job = take(),
    credential = take(), waited_for = take(), sharing = sharing, headroom_percent = sharing.headroom_percent } or nil
end

-- Charges all limits for so many calls; how long they may be used, and whether it is a probe whose failure costs no attempt.
local function commit(charges, calls, id, index, now_ms)
  local probe, use_within_ms = false, LANDS_WITHIN_MS / 2
  for _, charge in ipairs(charges) do
    if not charge.budget.state then
      budget.create(charge.budget, charge)
      redis.call('SADD', index, charge.budget.keys.state)
      redis.call('PEXPIRE', index, whole(INDEX_TTL_MS))
    end
    budget.spend(charge.budget, id, charge.cost, calls, now_ms)
    probe = probe or budget.probes_free(charge.budget, now_ms)
    use_within_ms = math.min(use_within_ms, budget.use_within_ms(charge.budget))
  end
  return use_within_ms, probe
end

local function charge_of(take, budgets)
  local b, limit, rate = budgets[tonumber(take())], take(), take()
  -- A quota by the calendar comes with the edges of its periods, which are no part of what it is.
  local quota, edges = string.match(rate, '^(q:[^|]*)|(.*)$')
  local charge = { budget = b, limit = limit, rate = b.wanted_rate or quota or rate,
    edges = not b.wanted_rate and edges or nil }
  -- The cost, and where the limit says so what is kept of it for higher lanes, as in `1;40,0,0,0`.
  local cost = take()
  charge.cost = tonumber(cost)
  if not charge.cost then
    local units, kept = string.match(cost, '^(%d+);(.*)$')
    charge.cost, charge.headroom_percent = tonumber(units), numbers_of(kept)
  end
  return charge
end

-- Reads the charges of a choice.
local function charges_of(take, budgets)
  local charges = {}
  for number = 1, tonumber(take()) do
    charges[number] = charge_of(take, budgets)
    charges[number].number = number
  end
  return charges
end

-- The reply to a question is 1, the number of the choice that is granted, the permit's id, its calls, how long they may be
-- used, and 1 if it is a probe; or 0, the numbers of the choice and of the charge that binds, when to come back, at the latest,
-- and the pause with its end, or since when the provider is ill.
local function ask(keys, args)
  local met, lost = begin(keys, args, true)
  if not met then
    return lost
  end
  local now_ms, budgets, recovered_ms, take = met.now_ms, met.budgets, met.recovered_ms, reader(args)
  local reply, granted, shared = { now_ms, false }, false, sharing_of(args[5])
  for _ = 1, tonumber(take()) do
    local by_whom, want, choices, bindings = asker(take, shared), tonumber(take()), {}, {}
    for number = 1, tonumber(take()) do
      choices[number] = charges_of(take, budgets)
    end
    for number, charges in ipairs(choices) do
      bindings[number] = binding(charges, by_whom, now_ms)
    end
    local chosen = choice.choose(choices, bindings, now_ms)
    local binds = choice.soonest(bindings, chosen)
    local calls = binds and 1 or fitting(choices[chosen], by_whom, want, now_ms)
    if now_ms < recovered_ms and #choices[chosen] > 0 then
      binds = binds or { by = choices[chosen][1], until_ms = recovered_ms, at_latest_ms = recovered_ms }
      binds.until_ms = math.max(binds.until_ms, recovered_ms)
      binds.at_latest_ms = math.max(binds.at_latest_ms, recovered_ms)
    elseif by_whom then
      choice.leave(choices, by_whom)
      choice.line_up(choices[chosen], calls, by_whom, binds, now_ms)
    end
    if binds then
      local answer = { 0, chosen, binds.by.number, binds.until_ms, binds.at_latest_ms }
      if binds.pause then
        answer[6], answer[7] = binds.pause.json, binds.pause.until_ms
      else
        answer[6] = binds.down_ms
      end
      reply[#reply + 1] = answer
    else
      -- At least the time in µs: unique even when this key was lost.
      -- Those that were granted apart do not adjoin.
      local id = in_flight.id_for(math.max(met.last_id + 2, now_ms * 1000), calls)
      met.last_id, granted = id + calls - 1, true
      local use_within_ms, probe = commit(choices[chosen], calls, id, keys[2], now_ms)
      reply[#reply + 1] = { 1, chosen, id, calls, use_within_ms, probe and 1 or nil }
    end
  end
  if granted then
    redis.call('SET', keys[1], whole(met.last_id), 'PX', whole(INDEX_TTL_MS))
  end
  reply[2] = save_all(met)
  return reply
end

-- A reading, with times told from now on by the server's clock.
local function read(json, ahead_ms)
  if json == '' then
    return nil
  end
  local reading = cjson.decode(json)
  for name, value in pairs(reading) do
    if value == cjson.null then
      reading[name] = nil
    end
  end
  if reading.reset_at_ms and reading.reset_is_relative then
    reading.reset_at_ms = reading.reset_at_ms + ahead_ms
  end
  if reading.clock_ahead_ms then
    reading.clock_ahead_ms = reading.clock_ahead_ms - ahead_ms
  end
  if reading.pause_until_ms and not reading.pause_is_by_clock then
    reading.pause_until_ms = reading.pause_until_ms + ahead_ms
  end
  return reading
end

local function report(keys, args)
  local met, lost = begin(keys, args)
  if not met then
    return lost
  end
  local now_ms, budgets, ahead_ms, take = met.now_ms, met.budgets, met.ahead_ms, reader(args)
  for _ = 1, tonumber(take()) do
    local told = { id = tonumber(take()), calls = tonumber(take()), next_id = met.last_id + 1, sent = take() == '1',
      answered = take() == '1', health = take(), took_us = tonumber(take()) }
    local touched = {}
    told.readings = {}
    for number = 1, tonumber(take()) do
      touched[number] = { budget = budgets[tonumber(take())], reading = read(take(), ahead_ms) }
      told.readings[touched[number].budget] = touched[number].reading
    end
    told.refused = take() == '1'
    local refused_until_ms, lasts = tonumber(take()), take()
    local moved_ms = lasts == '' and ahead_ms or 0
    told.refused_until_ms = refused_until_ms and refused_until_ms + moved_ms
    told.lasts_period = lasts == 'p' and not refused_until_ms
    local refused = {}
    for number = 1, tonumber(take()) do
      refused[number] = { budget = budgets[tonumber(take())] }
    end
    refused = blame.narrowed(refused, told)
    told.refused_budgets = {}
    for _, one in ipairs(refused) do
      told.refused_budgets[one.budget] = true
    end
    for _, one in ipairs(touched) do
      if one.budget.state then
        budget.settle(one.budget, told, one.reading, now_ms)
      end
    end
    local blamed, teaches = blame.blamed(refused, told, now_ms), false
    for _, b in ipairs(blamed) do
      teaches = teaches or b.state.meter.kind == 'l' and not budget.refused_until_ms(b, told)
    end
    for _, b in ipairs(blamed) do
      -- Where a limit is learnt, a refusal that names no time is its business alone.
      if b.state.meter.kind == 'l' or budget.refused_until_ms(b, told) or not teaches then
        budget.refuse(b, told, now_ms)
      end
    end
  end
  return { now_ms, save_all(met) }
end

-- Takes over what an arbiter knew of budgets. Arguments: the time of that in Unix µs for each, then each's state.
local function restore(keys, args)
  local now_ms, now_us = clock(args)
  local last_id = tonumber(redis.call('GET', keys[1]) or 0)
  local began, recovered_ms = life.renew(keys[4], args, last_id, now_us, now_ms)
  last_id = math.max(last_id, tonumber(args[4]))
  redis.call('SET', keys[1], whole(last_id), 'PX', whole(INDEX_TTL_MS))
  local budgets = budgets_of(keys)
  for number, b in ipairs(budgets) do
    local known_us, state = tonumber(args[5 + number]), cmsgpack.unpack(args[5 + #budgets + number])
    -- In the same life nothing was lost, or this arbiter has told it already.
    if began ~= args[3] then
      life.take_over(b, state, known_us, began, recovered_ms, math.max(last_id, now_us) + 1, now_ms)
      redis.call('SADD', keys[2], b.keys.state)
      budget.save(b, now_ms)
    end
  end
  redis.call('PEXPIRE', keys[2], whole(INDEX_TTL_MS))
  return { now_ms, { began, now_us, last_id } }
end

-- Takes in what an arbiter granted while the store was away. Arguments: its last permit's id, when it heard of the store last,
-- and for each budget a charge, units used, when the first call was granted that began a window, and calls in flight with cost
-- and time.
local function charge(keys, args)
  local met, lost = begin(keys, args, true)
  if not met then
    return lost
  end
  local now_ms, budgets, ahead_ms, take = met.now_ms, met.budgets, met.ahead_ms, reader(args)
  met.last_id = math.max(met.last_id, tonumber(take()))
  met.recovered_ms = life.pause(keys[4], met.began, met.recovered_ms, tonumber(take()), now_ms)
  for _ = 1, tonumber(take()) do
    local one = charge_of(take, budgets)
    local spent, first_ms = { units = tonumber(take()) }, tonumber(take())
    spent.first_ms = first_ms and first_ms + ahead_ms
    spent.calls, spent.cost, spent.granted_ms = tonumber(take()), tonumber(take()), tonumber(take()) + ahead_ms
    away.charge(one.budget, one, spent, met.began, math.max(met.last_id, met.now_us) + 1, now_ms)
    redis.call('SADD', keys[2], one.budget.keys.state)
  end
  redis.call('SET', keys[1], whole(met.last_id), 'PX', whole(INDEX_TTL_MS))
  redis.call('PEXPIRE', keys[2], whole(INDEX_TTL_MS))
  return { now_ms, save_all(met) }
end

-- Budgets as they are kept, or false, after the time in Unix µs.
local function look(keys, args)
  local _, now_us = clock(args)
  local found = { now_us }
  for i = 5, #keys, 3 do
    found[#found + 1] = redis.call('GET', keys[i])
  end
  return found
end

-- What each budget is at, or false; those that have gone leave the index.
local function usage(keys, args)
  local now_ms = clock(args)
  local reply = { now_ms }
  for _, b in ipairs(budgets_of(keys)) do
    if b.state then
      reply[#reply + 1] = budget.usage(b, now_ms)
      budget.save(b, now_ms)
    else
      redis.call('SREM', keys[2], b.keys.state)
      reply[#reply + 1] = false
    end
  end
  return reply
end

-- Drops budgets that nobody has used for long.
local function forget(keys, args)
  local now_ms = clock(args)
  for _, b in ipairs(budgets_of(keys)) do
    if not b.state or budget.is_idle(b, now_ms) then
      budget.drop(b)
      redis.call('SREM', keys[2], b.keys.state)
    else
      budget.save(b, now_ms)
    end
  end
  return now_ms
end

-- What people want of the family's budgets: the time, whether anything was changed, and then all of it. Arguments: `put`
-- with kind, key, end, rate and JSON; `delete` with key and kinds; or nothing.
local function override(keys, args)
  local now_ms, hash, changed = clock(args), keys[3], false
  local found = overrides.all(hash, now_ms)
  if args[6] == 'put' then
    local until_ms = tonumber(args[9])
    until_ms = until_ms and until_ms + now_ms - tonumber(args[1])
    changed = overrides.put(hash, args[7] .. ':' .. args[8], until_ms, args[10], args[11], INDEX_TTL_MS)
  elseif args[6] == 'delete' then
    for i = 8, #args do
      changed = redis.call('HDEL', hash, args[i] .. ':' .. args[7]) == 1 or changed
    end
  end
  return { now_ms, { changed and 1 or 0 }, unpack(found) }
end

redis.register_function('NAME_ask', ask)
redis.register_function('NAME_report', report)
redis.register_function('NAME_restore', restore)
redis.register_function('NAME_charge', charge)
redis.register_function('NAME_look', look)
redis.register_function('NAME_usage', usage)
redis.register_function('NAME_forget', forget)
redis.register_function('NAME_override', override)
