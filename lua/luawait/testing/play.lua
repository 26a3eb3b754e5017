--- One run of a test, and the judgement of what came of it.
local core = require "luawait.core"
local faults = require "luawait.testing.faults"

local hooks = core.testing
local errors, try = core.errors, core.try -- the global pcall may be one that cancellations pass
local unpack = table.unpack

local play = {}

--- Something was left behind when a test had ended: `leaks` is an array of descriptions.
play.LeakError = errors.class("LeakError", errors.Error)

local TURNS = 100 -- that what is ending at the end of the test gets to do so, ...
local REAL_SECONDS = 10 -- ... and what a cancelled task gets whose end is I/O, if shutdown_timeout is not given

-- Also what only a finalizer lets go.
local function collect_garbage()
  collectgarbage()
  collectgarbage()
end

-- ---- what is left ----

local function add_tasks(left)
  local main = core.current_task()
  for _, task in ipairs(core.all_tasks()) do
    if task ~= main then
      local waiting_on = task:waiting_on()
      left[#left + 1] = ("%s %s"):format(task, waiting_on and "waits for: " .. waiting_on or "is ready to run")
    end
  end
end

local function add_all(left, list)
  for _, line in ipairs(list) do left[#left + 1] = line end
end

local function left_in_loop(kinds)
  local left = {}
  if kinds.tasks then add_tasks(left) end
  if kinds.handles then add_all(left, hooks.handles()) end
  return left
end

-- Those that nobody can reach any more are no leak.
local function pending_futures()
  if #hooks.futures() == 0 then return {} end
  collect_garbage()
  local places = hooks.futures()
  table.sort(places)
  for i, place in ipairs(places) do
    places[i] = "future that was never done, made at " .. place:gsub(": $", "")
  end
  return places
end

local function new_descriptors(before)
  local found = {}
  for number, target in pairs(hooks.descriptors()) do
    if not before[number] then
      found[#found + 1] = ("descriptor %d%s"):format(number, target ~= "" and " of " .. target or "")
    end
  end
  table.sort(found)
  return found
end

-- A file that is garbage is closed by its finalizer.
local function left_descriptors(before)
  if #new_descriptors(before) == 0 then return {} end
  collect_garbage()
  return new_descriptors(before)
end

-- Is there a task that was cancelled, and I/O on which that may wait, as for the end of a program?
local function is_task_ending()
  if not hooks.io_pending() then return false end
  local main = core.current_task()
  for _, task in ipairs(core.all_tasks()) do
    if task ~= main and task:cancelling() > 0 then return true end
  end
  return false
end

-- Lets what is ending do so; returns what then is left in the loop.
local function settle(how)
  local last, turn, left = os.time() + (how.run.shutdown_timeout or REAL_SECONDS), 0, left_in_loop(how.leaks)
  while #left > 0 and (turn < TURNS or is_task_ending() and os.time() < last) do
    core.sleep(0)
    turn, left = turn + 1, left_in_loop(how.leaks)
  end
  return left
end

-- ---- the run ----

local function begin(how, outcome)
  hooks.begin(how.virtual, how.autojump, how.patience, how.seed, how.cancel_at, how.timeout)
  hooks.blocked() -- the turn of the loop that is under way is not the test's yet
  hooks.forget_futures()
  core.set_exception_handler(function(info) outcome.reports[#outcome.reports + 1] = info end)
  if how.seed then math.randomseed(how.seed) end
  if how.fail then faults.begin(how.fail) end
end

local function finish(how, outcome, ok, ...)
  if how.fail then outcome.allocations, outcome.calls = faults.finish() end -- first: what follows wants memory
  outcome.waits = hooks.finish()
  local main = core.current_task()
  if not ok then outcome.err = (...) == nil and errors.RuntimeError("error object is nil") or (...) end
  -- what was being made when a call failed is nobody's to close; a coroutine that nobody awaited is reported
  if how.fail or hooks.coroutines() > 0 then collect_garbage() end
  while main:cancelling() > 0 do main:uncancel() end -- it goes on waiting, and that is meant
  outcome.left = settle(how)
  if how.leaks.futures then add_all(outcome.left, pending_futures()) end
  if not ok then error(outcome.err, 0) end
  return ...
end

--- Runs fn() with these settings. The outcome: `ok` and `results` (or `results[1]`, the error); `by_itself`: it was fn
-- that ended, and not the loop under it (a deadlock, opts.timeout); `left`: descriptions of what was left behind;
-- `reports`; `waits`, `allocations` and `calls`: how many.
function play.once(fn, how)
  local outcome = {reports = {}}
  local before = how.leaks.descriptors and hooks.descriptors()
  local function main()
    begin(how, outcome)
    return finish(how, outcome, try(core.plain(fn)))
  end
  local results = table.pack(try(core.run, main, how.run))
  if how.fail then faults.finish() end -- the loop may have ended before the test did
  if how.seed then math.randomseed() end
  outcome.ok, outcome.results = results[1], table.pack(unpack(results, 2, results.n))
  outcome.by_itself = results[1] or rawequal(results[2], outcome.err)
  if before and outcome.left then add_all(outcome.left, left_descriptors(before)) end
  return outcome
end

-- ---- the judgement ----

local function announce(where)
  if where then io.stderr:write("luawait.testing: failed ", where, "\n") end
end

local function raise_reports(reports)
  local first = reports[1]
  local what = first.error ~= nil and ("%s: %s"):format(first.message, core.text(first.error)) or first.message
  error(errors.RuntimeError("reported to the exception handler: " .. what, {reports = reports}), 0)
end

--- Raises LeakError if something was left behind; `where` tells of the run, on stderr.
function play.judge_leaks(outcome, where)
  local left = outcome.left or {}
  if #left == 0 then return end
  announce(where)
  error(play.LeakError("the test left behind:\n  " .. table.concat(left, "\n  "), {leaks = left}), 0)
end

--- Raises the error of the run, or one for its reports, or for what was left behind; else returns its results.
function play.judge(outcome, where)
  if not outcome.ok then
    announce(where)
    error(outcome.results[1], 0)
  end
  if #outcome.reports > 0 then
    announce(where)
    raise_reports(outcome.reports)
  end
  play.judge_leaks(outcome, where)
  return unpack(outcome.results, 1, outcome.results.n)
end

--- As judge, for a run in which something was made to go wrong: it may end with any error, but it must end by itself,
-- and leave nothing behind.
function play.judge_end(outcome, where)
  if not outcome.by_itself then
    announce(where)
    error(outcome.results[1], 0)
  end
  play.judge_leaks(outcome, where)
end

return play
