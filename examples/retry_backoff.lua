-- Retry with back-off: a failure that may pass is tried again after a pause, each pause twice as long as the one
-- before; any other failure, and the last one, is raised.
-- Prints each failed attempt with the pause after it, and what came out in the end.
local async = require "luawait"

local Unavailable = async.errors.class("Unavailable")

-- Calls fn(...) until it succeeds, at most so many times.
local function retry(attempts, pause, fn, ...)
  for attempt = 1, attempts do
    local ok, result = async.pcall(fn, ...)       -- lets a cancellation pass, so that a retry can be called off
    if ok then return result end
    if attempt == attempts or not async.errors.is(result, Unavailable) then error(result, 0) end
    print(("attempt %d: %s, again in %.0f ms"):format(attempt, result, pause * 1000))
    async.sleep(pause)                            -- with many clients, add some chance: pause * math.random()
    pause = pause * 2
  end
end

-- A service that is down for the first so many calls.
local function service(failures)
  local calls = 0
  return function(user)
    async.sleep(0.001)
    calls = calls + 1
    if user == nil then error(async.ValueError("no user given")) end
    if calls <= failures then error(Unavailable("call " .. calls)) end
    return "welcome, " .. user
  end
end

async.run(function()
  print(retry(5, 0.01, service(3), "ann"))
  print(async.pcall(retry, 2, 0.01, service(3), "bob"))
  print(async.pcall(retry, 5, 0.01, service(3), nil))
end)
