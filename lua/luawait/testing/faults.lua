--- Calls that fail on purpose: requests for memory in every build, other calls in that of the target `faults`.
local core = require "luawait.core"

local hooks = core.testing
local calls = core.call_faults -- nil: this is not that build

local faults = {}

faults.can_fail_calls = calls ~= nil

--- The calls with these numbers will fail, counted from now on: {allocation = n, uv = n}.
function faults.begin(numbers)
  if calls then calls.plan(numbers.uv or 0) end
  hooks.fail_from_now(numbers.allocation or 0)
end

--- Nothing fails any more. Returns how many requests for memory and other calls there have been since `begin`. Twice is
-- fine.
function faults.finish()
  local allocations = hooks.stop_failing() -- first: what follows wants memory
  if not calls then return allocations, 0 end
  local count = calls.state().calls
  calls.plan(0)
  return allocations, count
end

return faults
