-- The calls that were granted and not yet reported, of one budget: a sorted set of permit ids by the time of grant.
-- What a call costs is kept beside it only where that is not 1, so that counting calls is one ZCOUNT.
-- `flight` in a budget's state: calls, cost (all together), odd (calls that do not cost 1), oldest_ms (or earlier). Most
-- questions look back further than the oldest call, and so cost no command.

local in_flight = {}

-- Numbers go to Redis whole: Lua writes large ones with an exponent and 14 digits.
local function whole(n)
  return string.format('%.0f', n)
end

local function cost_of(b, id)
  if b.state.flight.odd == 0 then
    return 1
  end
  return tonumber(redis.call('HGET', b.keys.costs, id) or 1)
end

function in_flight.none()
  return { calls = 0, cost = 0, odd = 0, oldest_ms = 0 }
end

-- Most calls in flight that are taken over one by one when data was lost; what others cost is the first one's.
local UNNAMED_MAX = 1000

-- So many calls were in flight at `ms`, and cost so much together, but nobody knows which: each report of a permit from before
-- `before_id` ends one of them.
function in_flight.add_unnamed(b, calls, cost, ms, before_id)
  local flight = b.state.flight
  flight.unnamed, flight.before_id, flight.ended = flight.unnamed or 0, before_id, flight.ended or {}
  local taken_over = math.min(calls, UNNAMED_MAX)
  for place = 1, taken_over do
    flight.unnamed = flight.unnamed + 1
    local name, theirs = 'unnamed ' .. flight.unnamed, place == 1 and cost - taken_over + 1 or 1
    redis.call('ZADD', b.keys.flight, whole(ms), name)
    if theirs ~= 1 then
      redis.call('HSET', b.keys.costs, name, whole(theirs))
      flight.odd = flight.odd + 1
    end
  end
  flight.oldest_ms = flight.calls > 0 and math.min(flight.oldest_ms, ms) or ms
  flight.calls, flight.cost, b.is_oldest_exact = flight.calls + taken_over, flight.cost + cost, false
end

-- The call that a permit stands for whose name was lost, each permit's once.
local function take_name(flight, id)
  if not flight.unnamed or flight.unnamed == 0 or flight.ended[id] or tonumber(id) >= flight.before_id then
    return nil
  end
  flight.ended[id], flight.unnamed = true, flight.unnamed - 1
  if flight.unnamed == 0 then
    flight.ended = {}
    return 'unnamed 1'
  end
  return 'unnamed ' .. (flight.unnamed + 1)
end

-- Finds out when the oldest call was granted.
local function look_for_oldest(b)
  local oldest = redis.call('ZRANGE', b.keys.flight, 0, 0, 'WITHSCORES')
  if oldest[2] then
    b.state.flight.oldest_ms, b.is_oldest_exact = tonumber(oldest[2]), true
  else
    -- Also where Redis evicted the calls before the budget: else their cost would stay for ever.
    b.state.flight = in_flight.none()
  end
end

-- Whether any call was granted at `ms` or before.
local function goes_back_to(b, ms)
  if b.state.flight.calls > 0 and ms >= b.state.flight.oldest_ms and not b.is_oldest_exact then
    look_for_oldest(b)
  end
  return b.state.flight.calls > 0 and ms >= b.state.flight.oldest_ms
end

-- What the calls granted after `ms` cost together.
function in_flight.cost_since(b, ms)
  if not goes_back_to(b, ms) then
    return b.state.flight.cost
  end
  local flight = b.state.flight
  if flight.odd == 0 then
    return redis.call('ZCOUNT', b.keys.flight, '(' .. whole(ms), '+inf')
  end
  local cost = 0
  for _, id in ipairs(redis.call('ZRANGE', b.keys.flight, '(' .. whole(ms), '+inf', 'BYSCORE')) do
    cost = cost + cost_of(b, id)
  end
  return cost
end

-- For each call granted after `ms`, and not after `until_ms` where that is given, the newest first: when, and what it
-- and those after it cost together.
function in_flight.granted_after(b, ms, until_ms)
  local calls = {}
  if b.state.flight.calls == 0 or until_ms and not goes_back_to(b, until_ms) then
    return calls
  end
  local cost, newest = 0, '+inf'
  if until_ms then
    cost, newest = in_flight.cost_since(b, until_ms), whole(until_ms)
  end
  local found = redis.call('ZRANGE', b.keys.flight, newest, '(' .. whole(ms), 'BYSCORE', 'REV', 'WITHSCORES')
  for i = 1, #found, 2 do
    cost = cost + cost_of(b, found[i])
    calls[#calls + 1] = { granted_ms = tonumber(found[i + 1]), cost = cost }
  end
  return calls
end

-- When the call was granted whose end, after that of all calls before it, frees `cost`.
function in_flight.grant_that_frees(b, cost)
  if b.state.flight.odd == 0 then
    local found = redis.call('ZRANGE', b.keys.flight, cost - 1, cost - 1, 'WITHSCORES')
    return tonumber(found[2])
  end
  local freed, found = 0, redis.call('ZRANGE', b.keys.flight, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    freed = freed + cost_of(b, found[i])
    if freed >= cost then
      return tonumber(found[i + 1])
    end
  end
end

-- Takes up so many calls of the same cost, with the ids from this one on; ids never decrease.
function in_flight.add(b, id, calls, granted_ms, cost)
  local flight = b.state.flight
  if flight.calls == 0 then
    flight.oldest_ms, b.is_oldest_exact = granted_ms, true
  end
  local added, costs = {}, {}
  for number = 0, calls - 1 do
    added[2 * number + 1], added[2 * number + 2] = whole(granted_ms), whole(id + number)
    costs[2 * number + 1], costs[2 * number + 2] = whole(id + number), whole(cost)
  end
  redis.call('ZADD', b.keys.flight, unpack(added))
  flight.calls, flight.cost = flight.calls + calls, flight.cost + cost * calls
  if cost ~= 1 then
    redis.call('HSET', b.keys.costs, unpack(costs))
    flight.odd = flight.odd + calls
  end
end

-- What a call costs; 1 when it was removed or forgotten.
function in_flight.cost_of(b, id)
  return cost_of(b, id)
end

-- Removes a call; nil when it was removed or forgotten before.
function in_flight.take(b, id)
  local flight = b.state.flight
  local granted_ms = flight.calls > 0 and redis.call('ZSCORE', b.keys.flight, id)
  if not granted_ms then
    id = take_name(flight, id)
    granted_ms = id and redis.call('ZSCORE', b.keys.flight, id)
  end
  if not granted_ms then
    return nil
  end
  local cost = cost_of(b, id)
  redis.call('ZREM', b.keys.flight, id)
  b.is_oldest_exact = false
  flight.calls, flight.cost = flight.calls - 1, flight.cost - cost
  if cost ~= 1 then
    redis.call('HDEL', b.keys.costs, id)
    flight.odd = flight.odd - 1
  end
  return { granted_ms = tonumber(granted_ms), cost = cost }
end

-- Removes calls that were granted together, from this id on: what those cost that are still there, and when that was.
function in_flight.take_all(b, id, calls)
  local flight, together = b.state.flight, nil
  local granted_ms = calls > 1 and flight.calls > 0 and flight.odd == 0 and redis.call('ZSCORE', b.keys.flight, whole(id))
  if granted_ms then
    local ids = {}
    for number = 0, calls - 1 do
      ids[number + 1] = whole(id + number)
    end
    local gone = redis.call('ZREM', b.keys.flight, unpack(ids))
    b.is_oldest_exact = false
    flight.calls, flight.cost = flight.calls - gone, flight.cost - gone
    return { granted_ms = tonumber(granted_ms), cost = gone }
  end
  for number = 0, calls - 1 do
    local held = in_flight.take(b, whole(id + number))
    if held and together then
      together.cost = together.cost + held.cost
    else
      together = together or held
    end
  end
  return together
end

-- Forgets the calls granted at `ms` or before.
function in_flight.forget_until(b, ms)
  if not goes_back_to(b, ms) then
    return
  end
  local flight = b.state.flight
  if flight.odd == 0 then
    local gone = redis.call('ZREMRANGEBYSCORE', b.keys.flight, '-inf', whole(ms))
    flight.calls, flight.cost = flight.calls - gone, flight.cost - gone
  else
    for _, id in ipairs(redis.call('ZRANGE', b.keys.flight, '-inf', whole(ms), 'BYSCORE')) do
      in_flight.take(b, id)
    end
  end
  look_for_oldest(b)
end
