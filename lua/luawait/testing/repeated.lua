--- Tests that run a program once for each thing that can go wrong in it.
local check = require "luawait.check"
local play = require "luawait.testing.play"
local settings = require "luawait.testing.settings"

local repeated = {}

-- Plays fn as it is: nothing may fail. Then with prepare(how, n) for n = 1, 2, ... until there were fewer than n of
-- what count(outcome) counts. Returns the last n that there was.
local function play_all(fn, how, prepare, count, where)
  play.judge(play.once(fn, how))
  local n = 1
  while true do
    prepare(how, n)
    local outcome = play.once(fn, how)
    if (count(outcome) or n) < n then return n - 1 end
    local place = where:format(n)
    play.judge_end(outcome, place)
    if how.check then how.check(outcome.ok, outcome.results[1], n) end
    n = n + 1
  end
end

--- cancel_at_every_wait(fn, opts?): runs fn() once for each wait that any of its tasks begins, and cancels that task
-- there. Each run may end with any error, but it must end, and leave nothing behind. opts.check(ok, err, n) is called
-- after each. Returns the number of waits.
function repeated.cancel_at_every_wait(fn, opts)
  check.callable(fn, 1, "cancel_at_every_wait")
  local how = settings.check(opts, 2, "cancel_at_every_wait")
  return play_all(fn, how, function(_, n) how.cancel_at = n end,
    function(outcome) return outcome.waits end, "when cancelled at wait %d")
end

local COUNTED = {allocation = "allocations", uv = "calls"}

--- fail_at_every_call(kind, fn, opts?): runs fn() once for each request for memory ("allocation") or call of libuv
-- ("uv") that it makes, and lets that one fail; the rest as for cancel_at_every_wait.
function repeated.fail_at_every_call(kind, fn, opts)
  local field = COUNTED[kind]
  if not field then check.fail(1, "fail_at_every_call", '"allocation" or "uv" expected', 2) end
  check.callable(fn, 2, "fail_at_every_call")
  local how = settings.check(opts, 3, "fail_at_every_call")
  settings.check_fault(kind, 1, "fail_at_every_call")
  return play_all(fn, how, function(_, n) how.fail = {[kind] = n} end,
    function(outcome) return outcome[field] end,
    "when " .. (kind == "uv" and "libuv call" or "allocation") .. " %d failed")
end

return repeated
