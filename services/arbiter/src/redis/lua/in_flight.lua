-- Numbers go to Redis whole: Lua writes large ones with an exponent and 14 digits.
local function whole(n)
  return string.format('%.0f', n)
end

-- The calls that were granted and not yet reported, of one budget: a sorted set by the time of grant. Calls that were granted
-- together stand in it as blocks: so many, a power of two, from an id on that it divides, as in `4096:64`; a single call by its id
-- alone. A block of which only a part comes back is taken apart into its calls, so a lease is many where its reports are.
-- What each call of a member costs is kept beside it only where that is not 1. So counting single calls is one ZCOUNT.
-- `flight` in a budget's state: calls, cost (all together), odd (members whose calls do not cost 1), blocks (members of several
-- calls, if any), oldest_ms (or earlier). Most questions look back further than the oldest call, and so cost no command.

local in_flight = {}

-- A chunk has at most 200 local names: those of this file end with it.
do

-- Most calls in flight that are taken over one by one when data was lost; what others cost is the first one's.
local UNNAMED_MAX = 1000
-- Costs that one command reads: they must fit on Lua's stack.
local READ_MAX = 1000

function in_flight.none()
  return { calls = 0, cost = 0, odd = 0, oldest_ms = 0 }
end

local function name_of(first, calls)
  return calls == 1 and whole(first) or whole(first) .. ':' .. calls
end

-- Whether any member is of several calls.
local function has_blocks(b)
  return b.state.flight.blocks ~= nil
end

-- How many calls a member is of.
local function calls_of(b, name)
  return has_blocks(b) and tonumber(string.match(name, ':(%d+)$')) or 1
end

-- What these members cost.
local function costs_of(b, names)
  local costs, are_odd = {}, b.state.flight.odd > 0
  for from = 1, #names, READ_MAX do
    local to = math.min(from + READ_MAX - 1, #names)
    local found = are_odd and redis.call('HMGET', b.keys.costs, unpack(names, from, to)) or {}
    for place = from, to do
      costs[place] = calls_of(b, names[place]) * (found[place - from + 1] or 1)
    end
  end
  return costs
end

-- Members as ZRANGE finds them: names, times of grant, and costs.
local function members(b, from, to, ...)
  local found, names, times = redis.call('ZRANGE', b.keys.flight, from, to, 'WITHSCORES', ...), {}, {}
  for i = 1, #found, 2 do
    names[#names + 1], times[#times + 1] = found[i], tonumber(found[i + 1])
  end
  return names, times, costs_of(b, names)
end

-- Adds members, all of the same time, and of calls that cost as much each.
local function put(b, blocks, granted_ms, cost)
  local flight, added, costs = b.state.flight, {}, {}
  for place, block in ipairs(blocks) do
    local name = name_of(block.first, block.calls)
    added[2 * place - 1], added[2 * place] = whole(granted_ms), name
    if cost ~= 1 then
      costs[2 * place - 1], costs[2 * place] = name, whole(cost)
    end
    if block.calls > 1 then
      flight.blocks = (flight.blocks or 0) + 1
    end
    flight.calls, flight.cost = flight.calls + block.calls, flight.cost + cost * block.calls
  end
  b.since_ms = nil
  redis.call('ZADD', b.keys.flight, unpack(added))
  if cost ~= 1 then
    redis.call('HSET', b.keys.costs, unpack(costs))
    flight.odd = flight.odd + #blocks
  end
end

-- Removes a member; what each of its calls cost.
local function remove(b, name)
  local flight, calls = b.state.flight, calls_of(b, name)
  local cost = flight.odd > 0 and tonumber(redis.call('HGET', b.keys.costs, name) or 1) or 1
  redis.call('ZREM', b.keys.flight, name)
  b.since_ms, b.is_oldest_exact = nil, false
  flight.calls, flight.cost = flight.calls - calls, flight.cost - cost * calls
  if calls > 1 then
    flight.blocks = flight.blocks > 1 and flight.blocks - 1 or nil
  end
  if cost ~= 1 then
    redis.call('HDEL', b.keys.costs, name)
    flight.odd = flight.odd - 1
  end
  return cost
end

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
  flight.calls, flight.cost, b.since_ms, b.is_oldest_exact = flight.calls + taken_over, flight.cost + cost, nil, false
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
    b.state.flight, b.since_ms = in_flight.none(), nil
  end
end

-- Whether any call was granted at `ms` or before.
local function goes_back_to(b, ms)
  if b.state.flight.calls > 0 and ms >= b.state.flight.oldest_ms and not b.is_oldest_exact then
    look_for_oldest(b)
  end
  return b.state.flight.calls > 0 and ms >= b.state.flight.oldest_ms
end

-- Whether each member is of one call that costs 1.
local function is_plain(b)
  return b.state.flight.odd == 0 and not has_blocks(b)
end

local function count_since(b, ms)
  if is_plain(b) then
    return redis.call('ZCOUNT', b.keys.flight, '(' .. whole(ms), '+inf')
  end
  local _, _, costs = members(b, '(' .. whole(ms), '+inf', 'BYSCORE')
  local together = 0
  for _, cost in ipairs(costs) do
    together = together + cost
  end
  return together
end

-- What the calls granted after `ms` cost together.
function in_flight.cost_since(b, ms)
  if not goes_back_to(b, ms) then
    return b.state.flight.cost
  end
  -- One decision asks for the same several times.
  if b.since_ms ~= ms then
    b.since_ms, b.cost_since = ms, count_since(b, ms)
  end
  return b.cost_since
end

-- For each block of calls granted after `ms`, and not after `until_ms` where that is given, the newest first: when, and what it
-- and those after it cost together.
function in_flight.granted_after(b, ms, until_ms)
  local blocks = {}
  if b.state.flight.calls == 0 or until_ms and not goes_back_to(b, until_ms) then
    return blocks
  end
  local together, newest = 0, '+inf'
  if until_ms then
    together, newest = in_flight.cost_since(b, until_ms), whole(until_ms)
  end
  local _, times, costs = members(b, newest, '(' .. whole(ms), 'BYSCORE', 'REV')
  for place, granted_ms in ipairs(times) do
    together = together + costs[place]
    blocks[place] = { granted_ms = granted_ms, cost = together }
  end
  return blocks
end

-- When the call was granted whose end, after that of all calls before it, frees `cost`.
function in_flight.grant_that_frees(b, cost)
  if is_plain(b) then
    local found = redis.call('ZRANGE', b.keys.flight, cost - 1, cost - 1, 'WITHSCORES')
    return tonumber(found[2])
  end
  local freed, _, times, costs = 0, members(b, 0, -1)
  for place, granted_ms in ipairs(times) do
    freed = freed + costs[place]
    if freed >= cost then
      return granted_ms
    end
  end
end

-- The blocks that so many calls from an id on come to.
local function blocks_of(id, calls)
  local blocks, first, left = {}, id, calls
  while left > 0 do
    local size = 1
    while 2 * size <= left and first % (2 * size) == 0 do
      size = 2 * size
    end
    blocks[#blocks + 1] = { first = first, calls = size }
    first, left = first + size, left - size
  end
  return blocks
end

-- The first id from this one on from which so many calls are as few blocks as may be.
function in_flight.id_for(id, calls)
  local size = 1
  while size < calls do
    size = 2 * size
  end
  return math.ceil(id / size) * size
end

-- Takes up so many calls of the same cost, with the ids from this one on; ids never decrease.
function in_flight.add(b, id, calls, granted_ms, cost)
  local flight = b.state.flight
  if flight.calls == 0 then
    flight.oldest_ms, b.is_oldest_exact = granted_ms, true
  end
  put(b, blocks_of(id, calls), granted_ms, cost)
end

-- What a call costs; 1 when it was removed or forgotten.
function in_flight.cost_of(b, id)
  local size = 1
  while b.state.flight.odd > 0 and size <= LEASE_MAX do
    local cost = redis.call('HGET', b.keys.costs, name_of(id - id % size, size))
    if cost then
      return tonumber(cost)
    end
    size = 2 * size
  end
  return 1
end

-- Takes calls out of a block; the others stay, each by itself.
local function take_out(b, first, calls, block, granted_ms)
  local cost, others = remove(b, name_of(block.first, block.calls)), {}
  for id = block.first, block.first + block.calls - 1 do
    if id < first or id >= first + calls then
      others[#others + 1] = { first = id, calls = 1 }
    end
  end
  if others[1] then
    put(b, others, granted_ms, cost)
  end
  return { granted_ms = granted_ms, cost = cost * calls }
end

local function take_single(b, id)
  local name = whole(id)
  local granted_ms = redis.call('ZSCORE', b.keys.flight, name)
  if not granted_ms then
    name = take_name(b.state.flight, name)
    granted_ms = name and redis.call('ZSCORE', b.keys.flight, name)
  end
  return granted_ms and { granted_ms = tonumber(granted_ms), cost = remove(b, name) } or nil
end

local function together(one, other)
  if one and other then
    one.cost = one.cost + other.cost
  end
  return one or other
end

-- Removes the calls of a block: it may be one, part of one, or taken apart.
local function take_block(b, first, calls)
  local size = math.max(calls, 2)
  local taken = calls == 1 and take_single(b, first)
  while not taken and has_blocks(b) and size <= LEASE_MAX do
    local block = { first = first - first % size, calls = size }
    local granted_ms = redis.call('ZSCORE', b.keys.flight, name_of(block.first, size))
    taken = granted_ms and take_out(b, first, calls, block, tonumber(granted_ms))
    size = 2 * size
  end
  for number = 1, not taken and calls > 1 and calls or 0 do
    taken = together(taken, take_single(b, first + number - 1))
  end
  return taken or nil
end

-- Removes calls that were granted together, from this id on: what those cost that are still there, and when that was; nil when
-- all were removed or forgotten before.
function in_flight.take(b, id, calls)
  local taken = nil
  for _, block in ipairs(b.state.flight.calls > 0 and blocks_of(id, calls) or {}) do
    taken = together(taken, take_block(b, block.first, block.calls))
  end
  return taken
end

-- Forgets the calls granted at `ms` or before.
function in_flight.forget_until(b, ms)
  if not goes_back_to(b, ms) then
    return
  end
  local flight = b.state.flight
  if is_plain(b) then
    local gone = redis.call('ZREMRANGEBYSCORE', b.keys.flight, '-inf', whole(ms))
    flight.calls, flight.cost, b.since_ms = flight.calls - gone, flight.cost - gone, nil
  else
    for _, name in ipairs(redis.call('ZRANGE', b.keys.flight, '-inf', whole(ms), 'BYSCORE')) do
      remove(b, name)
    end
  end
  look_for_oldest(b)
end

end
