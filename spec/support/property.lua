--- Runs random programs and tells the first violation of each.
local async = require "luawait"
local World = require "spec.support.property_world"
local kinds = require "spec.support.property_kinds"
local programs = require "spec.support.property_program"

local property = {}

local QUIET_TURNS = 6 -- without progress, after which every task waits: the longest way of a wake-up is shorter
local ROUNDS = 60     -- of serving what waits; no program needs as many

-- Turns until every task waits for something that does not come by itself.
local function settle(world)
  local quiet, last = 0, nil
  repeat
    async.sleep(0)
    world:pass()
    quiet = world.progress == last and quiet + 1 or 0
    last = world.progress
    if quiet == QUIET_TURNS and world.timer_until then
      async.sleep(world.timer_until - async.time() + 1e-4)
      world.timer_until, quiet = nil, 0
    end
  until quiet >= QUIET_TURNS or world.failure
  world:check("check")
  world:check("quiet")
end

local function waiting()
  local texts = {}
  for _, task in ipairs(async.all_tasks()) do
    if task ~= async.current_task() then
      texts[#texts + 1] = ("%s waits for %s"):format(task:get_name(), tostring(task:waiting_on()))
    end
  end
  return table.concat(texts, ", ")
end

-- Ends all that still waits: by doing what it waits for, or by cancelling it.
local function drain(world)
  for _ = 1, ROUNDS do
    if world.failure or world:all_done() then return end
    if world.program.drain == "cancel" then
      for _, proc in ipairs(world.procs) do world.strikes.cancel(world, proc) end
    else
      world:check("drain")
    end
    settle(world)
  end
  world:fail("left behind: %s", waiting())
end

local function play(world)
  local made = world.program
  for id, spec in ipairs(made.subjects) do world.subjects[id] = kinds[spec.kind].make(world, spec) end
  for id, ops in ipairs(made.tasks) do world:start(id, ops) end
  repeat settle(world) until world.failure or not world:next_strike_now()
  world.rest = world.ticks
  if world.failure then return end
  if made.drain == "leave" then
    world.leaving = true
    return
  end
  drain(world)
  if world.failure then return end
  world:check("finish")
  for _, line in ipairs(world.lines) do world:must(#line == 0, "%s: a call has not ended", line.name) end
  for _, proc in ipairs(world.procs) do
    if not proc.task:cancelled() then world:must(proc.task:exception() == nil, "task %d failed", proc.id) end
  end
  world:must(#async.all_tasks() == 1, "tasks are left: %s", waiting())
end

-- The main task ends by waiting for ever. The run must notice at once that nothing can wake it: a timer that was left
-- behind would have it wait for that one.
local function main(world)
  async.set_exception_handler(function(report)
    if report.message:find("swallowed a cancellation", 1, true) then return end
    world:fail("reported: %s (%s)", report.message, tostring(report.error))
  end)
  play(world)
  if not world.failure and not world.leaving then async.sleep(math.huge) end
end

-- The main task has returned while others were waiting, and run has cancelled these.
local function check_after(world, ok, err)
  world.leaving = false
  world:must(ok, "the run failed: %s", tostring(err))
  local fine, why = pcall(world.check, world, "finish")
  world:must(fine, "looking at what is left failed: %s", tostring(why))
end

--- Runs a program; returns the violation (nil: there is none), the array of what happened (with `trace`), and in how
--- many ticks it came to rest.
function property.run(made, trace)
  local world = World.new(made, trace)
  local start = async.time()
  local opts = { debug = made.debug, slow_callback = 3600, signals = false } -- a busy machine makes any step slow
  local ok, err = pcall(async.run, function() return main(world) end, opts)
  local took = async.time() - start
  if not world.failure and world.leaving then
    check_after(world, ok, err)
  elseif not world.failure and not ok and not async.errors.is(err, async.DeadlockError) then
    world:fail("the run failed: %s", tostring(err))
  elseif not world.failure then
    world:must(not ok and tostring(err):find("1 task waits", 1, true), "left in the end: %s", tostring(err))
    world:must(took < World.FAR / 2, "a timer was left behind")
  end
  return world.failure, world.log, world.rest
end

-- What a violation and those of smaller programs have in common.
local function pattern_of(violation) return (violation:gsub("%d+", "#")) end

--- The report of a failing program: the violation, how to replay it, and a smaller program that fails, with its trace.
function property.report(made, violation)
  local pattern = pattern_of(violation)
  local small = programs.shrink(made, function(smaller)
    local other = property.run(smaller)
    return other and pattern_of(other) == pattern
  end, 20)
  local again, log = property.run(small, true)
  return table.concat({
    ("seed %d: %s"):format(made.seed, violation),
    ("LUAWAIT_SEED=%d scripts/spec.sh spec/sync/property_spec.lua runs it alone"):format(made.seed),
    ("a smaller one: %s"):format(again or "fails not each time"), programs.text(small), table.concat(log, "\n"),
  }, "\n")
end

-- For a program that ends the process: the last one shown is it.
local shows_seeds = os.getenv("LUAWAIT_SHOW_SEEDS")

local function run_or_raise(made)
  if shows_seeds then io.stderr:write("seed ", made.seed, "\n") end
  local violation, _, ticks = property.run(made)
  if violation then error(property.report(made, violation), 0) end
  return ticks
end

--- Runs the programs of the seeds `first` to `last`; raises the report of the first that fails. Returns their number.
function property.run_all(first, last, kind)
  for seed = first, last do run_or_raise(programs.make(seed, kind)) end
  return last - first + 1
end

-- The program with one strike alone, at a tick.
local function struck(seed, name, task, tick)
  local made = programs.make(seed)
  made.strikes = { { at = tick, name = name, task = task } }
  return made
end

--- Runs the programs of these seeds again and again, with one task cancelled, or its deadline come, at one tick: for
--- each task and each tick. Returns the number of runs.
function property.sweep_all(first, last)
  local runs = 0
  for seed = first, last do
    local tasks = #programs.make(seed).tasks
    local ticks = run_or_raise(struck(seed, "cancel", 1, math.huge))
    for tick = 1, ticks do
      for task = 1, tasks do
        run_or_raise(struck(seed, "cancel", task, tick))
        run_or_raise(struck(seed, "expire", task, tick))
        runs = runs + 2
      end
    end
  end
  return runs
end

return property
