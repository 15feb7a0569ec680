-- What people want of budgets: a hash for each family, from `pause:KEY` or `rate:KEY` to three lines, which are the time at
-- which it ends (nothing for never), the rate as a budget's state has it (nothing for a pause), and the override as JSON,
-- which is none of our business.

-- Whoever waits for the end of a pause, or for room by another rate, comes back after this time at the latest, since that may end
-- before.
local PAUSED_AGAIN_MS = 15000
local OVERRIDES_MAX = 1000
local FOREVER_MS = 9e15

local overrides = {}

local function parse(text)
  local until_ms, rate, json = string.match(text, '^([^\n]*)\n([^\n]*)\n(.*)$')
  return { until_ms = tonumber(until_ms), end_ms = tonumber(until_ms) or FOREVER_MS, rate = rate, json = json }
end

-- The keys under which overrides of a budget stand: its own, its limit's, its provider's.
local function targets(key)
  local provider, limit = string.match(key, '^([^/]*/)'), string.match(key, '^([^/]*/[^/]*/)')
  local found = { key }
  if limit and limit ~= key then
    found[#found + 1] = limit
  end
  if provider and provider ~= key then
    found[#found + 1] = provider
  end
  return found
end

-- Finds the overrides of budgets, if the family has any: `b.pause`, the one that lasts longest, and `b.wanted_rate`, the one
-- that is meant most exactly.
function overrides.load(budgets, hash, now_ms)
  if redis.call('HLEN', hash) == 0 then
    return
  end
  for _, b in ipairs(budgets) do
    local fields = {}
    for _, target in ipairs(targets(b.keys.name)) do
      fields[#fields + 1] = 'pause:' .. target
      fields[#fields + 1] = 'rate:' .. target
    end
    for number, text in ipairs(redis.call('HMGET', hash, unpack(fields))) do
      local one = text and parse(text)
      if one and one.end_ms > now_ms then
        if number % 2 == 0 then
          b.wanted_rate = b.wanted_rate or one.rate
        elseif not b.pause or one.end_ms > b.pause.end_ms then
          b.pause = one
        end
      end
    end
  end
end

-- When to come back to a budget that is paused.
function overrides.back_ms(pause, now_ms)
  return math.min(pause.end_ms, now_ms + PAUSED_AGAIN_MS)
end

-- When to come back though there is no room by then, since the rate that is wanted may be so no more.
function overrides.look_ms(b, now_ms)
  return b.wanted_rate and now_ms + PAUSED_AGAIN_MS or math.huge
end

-- Forgets those that have ended, and lists the others: their ends and their JSON.
function overrides.all(hash, now_ms)
  local found, fields = {}, redis.call('HGETALL', hash)
  for i = 1, #fields, 2 do
    local one = parse(fields[i + 1])
    if one.end_ms > now_ms then
      found[#found + 1] = { one.until_ms or false, one.json }
    else
      redis.call('HDEL', hash, fields[i])
    end
  end
  return found
end

-- Whether there was room for it.
function overrides.put(hash, field, until_ms, rate, json, ttl_ms)
  if redis.call('HEXISTS', hash, field) == 0 and redis.call('HLEN', hash) >= OVERRIDES_MAX then
    return false
  end
  redis.call('HSET', hash, field, (until_ms and whole(until_ms) or '') .. '\n' .. rate .. '\n' .. json)
  redis.call('PEXPIRE', hash, whole(ttl_ms))
  return true
end
