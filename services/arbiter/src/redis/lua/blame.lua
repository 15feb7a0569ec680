-- Which of the limits that a refused call touched it was refused for.

local blame = {}

-- Of the budgets that the call may be refused for those of which the answer says that too little is left; all where it says so of
-- none. Before the report is settled.
function blame.narrowed(refused, report)
  local used_up = {}
  for _, one in ipairs(refused) do
    local reading = report.readings[one.budget]
    one.cost = one.budget.state and in_flight.cost_of(one.budget, report.id) or 1
    if budget.refuses(one.budget) and reading and reading.remaining and reading.remaining < one.cost then
      used_up[#used_up + 1] = one
    end
  end
  return #used_up > 0 and used_up or refused
end

-- Of those the ones that have no room, as far as it is known: what is left of a budget was told by the answer, or somebody else is
-- there to blame, whose size nobody knows. All, if all have room. After the report is settled.
function blame.blamed(refused, report, now_ms)
  local all, blamed, has_stranger = {}, {}, false
  for _, one in ipairs(refused) do
    if budget.refuses(one.budget) then
      all[#all + 1] = one.budget
      has_stranger = has_stranger or not budget.is_known(one.budget)
    end
  end
  for _, one in ipairs(refused) do
    local b, reading = one.budget, report.readings[one.budget]
    if budget.refuses(b) then
      local knows = budget.is_known(b) and (has_stranger or reading and reading.remaining)
      if not (knows and budget.has_room(b, one.cost, now_ms)) then
        blamed[#blamed + 1] = b
      end
    end
  end
  return #blamed > 0 and blamed or all
end
