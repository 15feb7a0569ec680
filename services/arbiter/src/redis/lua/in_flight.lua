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

-- Takes up a call; ids never decrease.
function in_flight.add(b, id, granted_ms, cost)
  local flight = b.state.flight
  if flight.calls == 0 then
    flight.oldest_ms, b.is_oldest_exact = granted_ms, true
  end
  redis.call('ZADD', b.keys.flight, whole(granted_ms), whole(id))
  flight.calls, flight.cost = flight.calls + 1, flight.cost + cost
  if cost ~= 1 then
    redis.call('HSET', b.keys.costs, whole(id), whole(cost))
    flight.odd = flight.odd + 1
  end
end

-- Removes a call; nil when it was removed or forgotten before.
function in_flight.take(b, id)
  local flight = b.state.flight
  local granted_ms = flight.calls > 0 and redis.call('ZSCORE', b.keys.flight, id)
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
