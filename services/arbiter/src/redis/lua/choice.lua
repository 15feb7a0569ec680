-- Which of a question's choices is granted: the one with the most room.

local choice = {}

-- How full the limits are, the fullest first: what two choices share makes no difference between them.
local function fullness(charges, now_ms)
  local found = {}
  for number, charge in ipairs(charges) do
    found[number] = charge.budget.state and budget.fullness(charge.budget, now_ms) or 0
  end
  table.sort(found, function(one, other) return one > other end)
  return found
end

local function is_less(one, other)
  for place = 1, math.max(#one, #other) do
    if one[place] ~= other[place] then
      return not one[place] or other[place] and one[place] < other[place] or false
    end
  end
  return false
end

-- Of the choices with room the one whose fullest limit is the least full, then the next fullest; where none has room, the one
-- that has it first. The first of those that are alike.
function choice.choose(choices, bindings, now_ms)
  local roomiest, least, first
  for number, charges in ipairs(choices) do
    if not bindings[number] then
      local full = #choices > 1 and fullness(charges, now_ms) or {}
      if not roomiest or is_less(full, least) then
        roomiest, least = number, full
      end
    elseif not first or bindings[number].end_ms < bindings[first].end_ms then
      first = number
    end
  end
  return roomiest or first
end

-- What binds the choice, with the times of whichever has room first; false where it has room.
function choice.soonest(bindings, chosen)
  local binds = bindings[chosen]
  for _, other in ipairs(binds and bindings or {}) do
    binds.until_ms = math.min(binds.until_ms, other.until_ms)
    binds.at_latest_ms = math.min(binds.at_latest_ms, other.at_latest_ms)
  end
  return binds
end

-- Who asks waits no more. It waited in one line, which is of the limit that it was told; where several choices have that limit,
-- one in which its job waits.
function choice.leave(choices, by)
  for _, charges in ipairs(choices) do
    for _, charge in ipairs(charges) do
      if charge.limit == by.waited_for and charge.budget.state and budget.leave(charge.budget, by) then
        return
      end
    end
  end
end

-- Has who asks wait in the line of the budget that binds, or takes its turns in those of all.
function choice.line_up(charges, calls, by, binds, now_ms)
  for _, charge in ipairs(charges) do
    local b = charge.budget
    if b.state and binds and charge == binds.by then
      budget.join(b, by, charge, binds.until_ms, now_ms)
    elseif b.state and not binds then
      budget.serve(b, by, charge.cost, calls, now_ms)
    end
  end
end
