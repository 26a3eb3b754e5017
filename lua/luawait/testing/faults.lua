--- Calls that fail on purpose: requests for memory in every build, other calls in that of the target `faults`.
local core = require "luawait.core"

local hooks = core.testing
local calls = core.call_faults -- nil: this is not that build

local faults = {}

faults.can_fail_calls = calls ~= nil

local planned = false -- that one of the other calls shall fail

--- The calls with these numbers will fail, counted from now on: {allocation = n, uv = n}.
function faults.begin(numbers)
  planned = numbers.uv ~= nil
  if planned then calls.plan(numbers.uv) end
  hooks.fail_from_now(numbers.allocation or 0)
end

--- Nothing fails any more. Returns how many requests for memory and other calls there have been since `begin`. Twice is
-- fine.
function faults.finish()
  local allocations, count = hooks.stop_failing(), 0 -- first: what follows wants memory
  if planned then
    count = calls.state().calls
    calls.plan(0)
    planned = false
  end
  return allocations, count
end

return faults
