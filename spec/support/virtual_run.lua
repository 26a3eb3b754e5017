-- Runs a scenario on the virtual clock, so that its order is that of its delays however slow the machine is:
-- lua virtual_run.lua SCENARIO
local async = require "luawait"
local clock = require("luawait.core").testing
local run = async.run

-- Virtual time stands still while tasks run, and this one has a task that does so until a deadline.
if arg[1]:find("task_sleep_zero", 1, true) then return dofile(arg[1]) end

function async.run(awaitable, opts)
  return run(function()
    clock.begin(true, true, nil, nil, nil, nil)
    return async.await(awaitable)
  end, opts)
end

dofile(arg[1])
