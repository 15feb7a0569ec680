-- The functions. Keys: the last permit's id, the index of budgets, the overrides, then state, calls and costs of each
-- budget. Arguments: the caller's time in Unix ms, and whether it counts (tests) or the server's does; then the questions or
-- reports, flat, with budgets by their number. Every reply begins with the time that counted.

-- Longer than any window.
local INDEX_TTL_MS = 400 * 86400000

local function clock(args)
  if args[2] == '1' then
    return tonumber(args[1])
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function budgets_of(keys)
  local budgets = {}
  for i = 4, #keys, 3 do
    -- Up to the braces' end stands the prefix; what follows `state:` is the budget's own name.
    local name = string.match(keys[i], '}:state:(.*)$')
    budgets[#budgets + 1] = budget.load({ name = name, state = keys[i], flight = keys[i + 1], costs = keys[i + 2] })
  end
  return budgets
end

local function save_all(budgets, now_ms)
  for _, b in ipairs(budgets) do
    budget.save(b, now_ms)
  end
end

-- Takes arguments one after the other.
local function reader(args)
  local at = 2
  return function()
    at = at + 1
    return args[at]
  end
end

-- Reads all limits: nil when all have room, else when they do, at the latest, the number of the one that binds, and the
-- pause that it binds by, if it does, or since when its provider is ill.
local function binding(charges, by_whom, now_ms)
  local until_ms, at_latest_ms, by, by_end_ms, by_pause, by_down_ms
  for number, charge in ipairs(charges) do
    local b, soon_ms, latest_ms = charge.budget, now_ms, now_ms
    if b.state then
      budget.advance(b, now_ms)
      b.state.overridden = b.wanted_rate and true or nil
      soon_ms, latest_ms = budget.ready(b, charge, by_whom, now_ms)
    end
    local pause = b.pause and b.pause.end_ms > soon_ms and b.pause or nil
    local end_ms = pause and pause.end_ms or soon_ms
    if b.pause then
      local back_ms = overrides.back_ms(b.pause, now_ms)
      soon_ms, latest_ms = math.max(soon_ms, back_ms), math.max(latest_ms, back_ms)
    end
    if latest_ms > now_ms then
      if not by or end_ms > by_end_ms then
        by, by_end_ms, by_pause = number, end_ms, pause
        by_down_ms = not pause and budget.down_since_ms(b) or nil
      end
      until_ms, at_latest_ms = math.max(until_ms or soon_ms, soon_ms), math.max(at_latest_ms or latest_ms, latest_ms)
    end
  end
  return until_ms, at_latest_ms, by, by_pause, by_down_ms
end

-- Has who asks wait in the line of the budget that binds, or takes its turn in those of all.
local function line_up(charges, by_whom, binds, until_ms, now_ms)
  for number, charge in ipairs(charges) do
    local b = charge.budget
    if b.state then
      if by_whom.waited_for == charge.limit then
        budget.leave(b, by_whom)
      end
      if number == binds then
        budget.join(b, by_whom, charge.cost, until_ms, now_ms)
      elseif not binds then
        budget.serve(b, by_whom, charge.cost, now_ms)
      end
    end
  end
end

-- Who asks, if a question says so: lane, tenant, job, and the limit that was waited for.
local function asker(take)
  local lane = tonumber(take())
  return lane and { rank = math.min(lane, 3) + 1, tenant = take(), job = take(), waited_for = take() } or nil
end

-- Charges all limits; whether the call is a probe whose failure costs no attempt.
local function commit(charges, id, index, now_ms)
  local probe = false
  for _, charge in ipairs(charges) do
    if not charge.budget.state then
      budget.create(charge.budget, charge)
      redis.call('SADD', index, charge.budget.keys.state)
      redis.call('PEXPIRE', index, whole(INDEX_TTL_MS))
    end
    budget.spend(charge.budget, id, charge.cost, now_ms)
    probe = probe or budget.probes_free(charge.budget, now_ms)
  end
  return probe
end

local function ask(keys, args)
  local now_ms, budgets, take = clock(args), budgets_of(keys), reader(args)
  overrides.load(budgets, keys[3], now_ms)
  local last_id = tonumber(redis.call('GET', keys[1]) or 0)
  local reply, granted = { now_ms }, false
  for _ = 1, tonumber(take()) do
    local charges, by_whom = {}, asker(take)
    for number = 1, tonumber(take()) do
      local b = budgets[tonumber(take())]
      local limit, rate = take(), take()
      charges[number] = { budget = b, limit = limit, rate = b.wanted_rate or rate, cost = tonumber(take()) }
    end
    local until_ms, at_latest_ms, by, pause, down_since_ms = binding(charges, by_whom, now_ms)
    if by_whom then
      line_up(charges, by_whom, by, until_ms, now_ms)
    end
    if pause then
      reply[#reply + 1] = { until_ms, at_latest_ms, by, pause.json, pause.until_ms }
    elseif by then
      reply[#reply + 1] = { until_ms, at_latest_ms, by, down_since_ms }
    else
      -- At least the time in µs: unique even when this key was lost.
      last_id, granted = math.max(last_id + 1, now_ms * 1000), true
      local probe = commit(charges, last_id, keys[2], now_ms)
      reply[#reply + 1] = { last_id, probe and 1 or nil }
    end
  end
  if granted then
    redis.call('SET', keys[1], whole(last_id), 'PX', whole(INDEX_TTL_MS))
  end
  save_all(budgets, now_ms)
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
  if reading.pause_until_ms then
    reading.pause_until_ms = reading.pause_until_ms + ahead_ms
  end
  return reading
end

local function report(keys, args)
  local now_ms, budgets, take = clock(args), budgets_of(keys), reader(args)
  local ahead_ms = now_ms - tonumber(args[1])
  local next_id = tonumber(redis.call('GET', keys[1]) or 0) + 1
  for _ = 1, tonumber(take()) do
    local told = { id = tonumber(take()), next_id = next_id, sent = take() == '1', answered = take() == '1',
      health = take() }
    local touched = {}
    for number = 1, tonumber(take()) do
      touched[number] = { budget = budgets[tonumber(take())], reading = read(take(), ahead_ms) }
    end
    told.refused = take() == '1'
    local refused_until_ms = tonumber(take())
    told.refused_until_ms = refused_until_ms and refused_until_ms + ahead_ms
    local refused, teaches = {}, false
    for number = 1, tonumber(take()) do
      local b = budgets[tonumber(take())]
      refused[number] = b
      teaches = teaches or (not told.refused_until_ms and b.state and b.state.meter.kind == 'l')
    end
    told.refused_budgets = {}
    for _, b in ipairs(refused) do
      told.refused_budgets[b] = true
    end
    for _, one in ipairs(touched) do
      if one.budget.state then
        budget.settle(one.budget, told, one.reading, now_ms)
      end
    end
    for _, b in ipairs(refused) do
      -- Where a limit is learnt, a refusal that names no time is its business alone.
      if b.state and (b.state.meter.kind == 'l' or not teaches) then
        budget.refuse(b, told, now_ms)
      end
    end
  end
  save_all(budgets, now_ms)
  return now_ms
end

-- What each budget is at, or false; those that have gone leave the index.
local function usage(keys, args)
  local now_ms, budgets = clock(args), budgets_of(keys)
  local reply = { now_ms }
  for _, b in ipairs(budgets) do
    if b.state then
      reply[#reply + 1] = budget.usage(b, now_ms)
    else
      redis.call('SREM', keys[2], b.keys.state)
      reply[#reply + 1] = false
    end
  end
  save_all(budgets, now_ms)
  return reply
end

-- Drops budgets that nobody has used for long.
local function forget(keys, args)
  local now_ms, budgets = clock(args), budgets_of(keys)
  for _, b in ipairs(budgets) do
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
  if args[3] == 'put' then
    local until_ms = tonumber(args[6])
    until_ms = until_ms and until_ms + now_ms - tonumber(args[1])
    changed = overrides.put(hash, args[4] .. ':' .. args[5], until_ms, args[7], args[8], INDEX_TTL_MS)
  elseif args[3] == 'delete' then
    for i = 5, #args do
      changed = redis.call('HDEL', hash, args[i] .. ':' .. args[4]) == 1 or changed
    end
  end
  return { now_ms, { changed and 1 or 0 }, unpack(found) }
end

redis.register_function('NAME_ask', ask)
redis.register_function('NAME_report', report)
redis.register_function('NAME_usage', usage)
redis.register_function('NAME_forget', forget)
redis.register_function('NAME_override', override)
