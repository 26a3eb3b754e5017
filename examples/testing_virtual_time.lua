-- Tests of a program that retries: on a virtual clock, so that its pauses take no time, in many orders, and cancelled
-- at each of its waits.
local async = require "luawait"
local testing = require "luawait.testing"

-- What is tested: calls fn until it succeeds, with pauses of 1, 2, 4 ... seconds, as often as `attempts` says.
local function retry(fn, attempts)
  for attempt = 1, attempts do
    local ok, result = async.pcall(fn)
    if ok then return result end
    if attempt == attempts then error(result, 0) end
    async.sleep(2 ^ (attempt - 1))
  end
end

-- A service that fails so many times.
local function flaky(failures)
  return function()
    async.sleep(0.5)
    failures = failures - 1
    if failures >= 0 then error("busy", 0) end
    return "done"
  end
end

testing.run(function()
  local result = retry(flaky(12), 20)
  print(("%s after %.1f s of virtual time"):format(result, async.time()))
end)

-- A cache that looks again after it has waited, and one that does not.
local function new_cache(careful)
  local lock, calls, value = async.Lock(), 0, nil
  local function get()
    if value then return value end
    local _ <close> = lock:acquire()
    if careful and value then return value end
    calls = calls + 1
    async.sleep(1)
    value = "value"
    return value
  end
  return get, function() return calls end
end

for _, careful in ipairs({ false, true }) do
  local ok, err = pcall(testing.run, function()
    local get, calls = new_cache(careful)
    async.gather(get, get, get)
    assert(calls() == 1, "computed " .. calls() .. " times")
  end)
  print(careful and "careful cache:" or "careless cache:", ok and "fine" or err:match("computed.*"))
end

-- Whoever is cancelled while it holds the lock gives it back: else the other would wait for ever.
local waits = testing.cancel_at_every_wait(function()
  local lock = async.Lock()
  async.task_group(function(group)
    for _ = 1, 2 do
      group:create_task(function()
        local _ <close> = lock:acquire()
        async.sleep(1)
      end)
    end
  end)
  assert(not lock:locked())
end)
print(("cancelled at each of %d waits, and nothing was left behind"):format(waits))
