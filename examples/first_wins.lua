-- The first of several replicas wins: all are asked at once, the first answer is taken, and the others are called off.
-- A replica that fails is out of the race; only if all of them fail there is an error.
-- Prints which connection is closed when, and the answers.
local async = require "luawait"

-- Stands for a connection: it is to be closed, whatever happens.
local function connect(name)
  return setmetatable({}, { __close = function() print("close " .. name) end })
end

local function ask(replica)
  local connection <close> = connect(replica.name)
  async.sleep(replica.delay)
  if replica.down then error(async.Error(replica.name .. " is down")) end
  return "the answer of " .. replica.name
end

-- Calls fn(item) for all items at the same time. Returns the first result; no call goes on after that.
-- If all fail, raises an ExceptionGroup of their errors.
local function first(fn, items)
  local winner, failures = nil, {}
  async.task_group(function(group)
    for _, item in ipairs(items) do
      group:create_task(function()
        local ok, result = async.pcall(fn, item)
        if ok then
          winner = result
          group:cancel()
        else
          failures[#failures + 1] = result
        end
      end)
    end
  end)
  if #failures < #items then return winner end
  error(async.ExceptionGroup("all have failed", { errors = failures }))
end

local far = { name = "far", delay = 60 }
local near = { name = "near", delay = 0.01 }
local broken = { name = "broken", delay = 0, down = true }

async.run(function()
  print(first(ask, { far, near, broken }))
  print(async.pcall(first, ask, { broken, broken }))
end)
