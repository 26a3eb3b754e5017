--- luawait.testing: tests on a virtual clock, in chosen and in many orders, that fail for what they leave behind.
-- What each function promises stands in types/testing.lua and docs/testing.md.
local core = require "luawait.core"
local check = require "luawait.check"
local play = require "luawait.testing.play"
local repeated = require "luawait.testing.repeated"
local settings = require "luawait.testing.settings"

local hooks = core.testing

local testing = {
  LeakError = play.LeakError,
  cancel_at_every_wait = repeated.cancel_at_every_wait,
  fail_at_every_call = repeated.fail_at_every_call,
  sequencer = require "luawait.testing.sequencer",
}

local REAL_SECONDS = 30 -- that a test of `it` may take

--- run(fn, opts?): runs fn() as the main task of a fresh loop, on a virtual clock, and returns its results or raises
-- its error. Raises RuntimeError for what was reported to the exception handler, LeakError for what was left behind.
-- With opts.explore the test runs once for each seed, until one fails; the seed that fails is written to stderr.
function testing.run(fn, opts)
  check.callable(fn, 1, "run")
  local how = settings.check(opts, 2, "run")
  if how.first_seed == nil then return play.judge(play.once(fn, how)) end
  for seed = how.first_seed, how.last_seed - 1 do
    how.seed = seed
    play.judge(play.once(fn, how), "with seed " .. seed)
  end
  how.seed = how.last_seed
  return play.judge(play.once(fn, how), "with seed " .. how.last_seed)
end

--- wait_all_blocked(): waits until every other task waits for something, and a look at I/O has brought nothing. The
-- virtual clock does not jump while somebody waits here. After trio.testing.wait_all_tasks_blocked.
function testing.wait_all_blocked()
  hooks.blocked()
end

--- advance(seconds): the virtual clock goes on by so much, from deadline to deadline: what is due at each has run until
-- it waits before the clock goes on. Waits until all that has happened. A cancelled one leaves the clock where it is.
function testing.advance(seconds)
  if seconds == nil then check.fail(1, "advance", "number expected, got nil", 2) end
  check.seconds(seconds, 1, "advance")
  if seconds < 0 or seconds == math.huge then
    check.fail(1, "advance", "finite number of seconds expected, not below 0", 2)
  end
  local target = hooks.after(seconds)
  if not target then check.fail(1, "advance", "the clock does not go so far: 292 years are the most", 2) end
  repeat hooks.blocked() until hooks.move(target)
  hooks.blocked()
end

--- it(name, fn?, opts?): busted's `it`, with fn run by testing.run(fn, opts), or `pending` without one. opts.timeout is
-- 30 by default.
function testing.it(name, fn, opts)
  local found, busted = pcall(require, "busted")
  if not found or not busted.it then error("testing.it is for specs that busted runs", 2) end
  if fn == nil then return busted.pending(name) end
  check.callable(fn, 2, "it")
  settings.check(opts, 3, "it")
  local with_timeout = {timeout = REAL_SECONDS}
  for key, value in pairs(opts or {}) do with_timeout[key] = value end
  fn = core.plain(fn)
  local function test() fn() end -- without results: a coroutine among them is to be missed
  return busted.it(name, function() testing.run(test, with_timeout) end) -- busted looks for the line of its caller
end

return testing
