-- Deadlines: for one call, for a block, and one that is moved while it runs.
local async = require "luawait"

local function answer(delay)
  async.sleep(delay)
  return "the answer"
end

async.run(function()
  -- For one call: its result, or TimeoutError.
  print(async.wait_for(function() return answer(0.01) end, 5))
  local ok, err = async.pcall(async.wait_for, function() return answer(5) end, 0.05)
  print(ok, async.errors.is(err, async.TimeoutError))

  -- For a block, which ends early; what was begun inside is cleaned up as usual.
  ok, err = async.pcall(async.timeout, 0.05, function()
    print("step 1")
    async.sleep(0.01)
    print("step 2")
    async.sleep(5)
    print("never reached")
  end)
  print(ok, async.errors.is(err, async.TimeoutError))

  -- The same as a scope; here each sign of life gives it another 5 s.
  do
    local deadline <close> = async.timeout(5)
    for i = 1, 3 do
      async.sleep(0.01)
      print("sign of life", i)
      deadline:reschedule(async.time() + 5)
    end
  end
  print("in time")
end)
