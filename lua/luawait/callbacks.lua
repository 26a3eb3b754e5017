--- async.from_callback: functions that call back, in a task.
local core = require "luawait.core"
local check = require "luawait.check"
local await = require "luawait.await"

local pack, unpack = table.pack, table.unpack

--- After the call of fn. One that returned nil (or false) and a problem, as functions of Lua and luv do, has failed.
local function result_of(future, result, problem)
  if not result and problem ~= nil and not future:done() then error(problem, 0) end
  return await(future)
end

--- Calls fn(..., callback) in the current task and waits until callback is called; returns what it was called with.
-- Further calls of it, and one after the wait was cancelled, do nothing. An error of fn is raised; where fn returns nil
-- or false and a second value, and has not called back, that value is raised.
local function from_callback(fn, ...)
  check.callable(fn, 1, "from_callback")
  local future = core.from_callback(fn)
  local args = pack(...)
  args[args.n + 1] = function(...)
    if not future:done() then future:set_result(...) end
  end
  return result_of(future, fn(unpack(args, 1, args.n + 1)))
end

return from_callback
