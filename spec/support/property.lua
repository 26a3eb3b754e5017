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

local function waiting(world)
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
  world:fail("left behind: %s", waiting(world))
end

local function play(world)
  local made = world.program
  for id, spec in ipairs(made.subjects) do world.subjects[id] = kinds[spec.kind].make(world, spec) end
  for id, ops in ipairs(made.tasks) do world:start(id, ops) end
  repeat settle(world) until world.failure or not world:next_strike_now()
  drain(world)
  if world.failure then return end
  world:check("finish")
  for _, line in ipairs(world.lines) do world:must(#line == 0, "%s: a call has not ended", line.name) end
  for _, proc in ipairs(world.procs) do
    if not proc.task:cancelled() then world:must(proc.task:exception() == nil, "task %d failed", proc.id) end
  end
  world:must(#async.all_tasks() == 1, "tasks are left: %s", waiting(world))
end

-- The main task ends by waiting for ever. The run must notice at once that nothing can wake it: a timer that was left
-- behind would have it wait for that one.
local function main(world)
  async.set_exception_handler(function(report)
    if report.message:find("swallowed a cancellation", 1, true) then return end
    world:fail("reported: %s (%s)", report.message, tostring(report.error))
  end)
  play(world)
  if not world.failure then async.sleep(math.huge) end
end

--- Runs a program; returns the violation (nil: there is none) and, with `trace`, the array of what happened.
function property.run(made, trace)
  local world = World.new(made, trace)
  local start = async.time()
  local ok, err = pcall(async.run, function() return main(world) end, { debug = made.debug, signals = false })
  local took = async.time() - start
  if not world.failure and not ok and not async.errors.is(err, async.DeadlockError) then
    world:fail("the run failed: %s", tostring(err))
  elseif not world.failure then
    world:must(not ok and tostring(err):find("1 task waits", 1, true), "left in the end: %s", tostring(err))
    world:must(took < World.FAR / 2, "a timer was left behind")
  end
  return world.failure, world.log
end

-- What a violation and those of smaller programs have in common.
local function pattern_of(violation) return (violation:gsub("%d+", "#")) end

--- The report of a failing program: the violation, how to replay it, and a smaller program that fails, with its trace.
function property.report(made, violation)
  local pattern = pattern_of(violation)
  local small = programs.shrink(made, function(smaller)
    local other = property.run(smaller)
    return other and pattern_of(other) == pattern
  end, 1500)
  local again, log = property.run(small, true)
  return table.concat({
    ("seed %d: %s"):format(made.seed, violation),
    ("LUAWAIT_SEED=%d scripts/spec.sh spec/sync/property_spec.lua runs it alone"):format(made.seed),
    ("a smaller one: %s"):format(again or "fails not each time"), programs.text(small), table.concat(log, "\n"),
  }, "\n")
end

--- Runs the programs of the seeds `first` to `last`; raises the report of the first that fails. Returns their number.
function property.run_all(first, last, kind)
  for seed = first, last do
    local made = programs.make(seed, kind)
    local violation = property.run(made)
    if violation then error(property.report(made, violation), 0) end
  end
  return last - first + 1
end

return property
