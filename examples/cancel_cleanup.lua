-- Cancelling a task: the wait that it is in raises CancelledError, and its scopes are left in order.
-- Cleaning up may wait, too.
local async = require "luawait"

-- A scope that says when it is entered and left.
local function resource(name)
  print("open " .. name)
  return setmetatable({}, {
    __close = function()
      async.sleep(0.01)
      print("close " .. name)
    end,
  })
end

local worker = async(function()
  local database <close> = resource("database")
  local file <close> = resource("file")
  -- async.pcall catches errors, but lets the cancellation pass; the plain pcall would swallow it.
  print(async.pcall(error, "an error", 0))
  async.pcall(async.sleep, 60)
  print("never reached")
end)

async.run(function()
  local task = async.create_task(worker(), { name = "worker" })
  async.sleep(0.05)
  print(task:get_name(), task:state())
  task:cancel("enough")
  local ok, err = pcall(async.await, task)
  print(ok, async.errors.is(err, async.CancelledError))
  print(task:get_name(), task:state())
end)
