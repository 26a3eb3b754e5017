local async = require "luawait"
local std = require "luawait.std"

describe("a chain of the user's coroutines in which a task waits", function()
  it("is resumed by the loop alone, also in its middle", function()
    async.run(function()
      local outer
      local task = async.create_task(function()
        outer = std.coroutine.create(function()
          local inner = std.coroutine.create(function()
            async.sleep(0.005)
            return "done"
          end)
          return std.coroutine.resume(inner)
        end)
        return std.coroutine.resume(outer)
      end)
      async.sleep(0)
      async.sleep(0)
      for _, resume in ipairs({ coroutine.resume, std.coroutine.resume }) do
        local ok, answer = resume(outer, "something", "passed")
        assert.is_true(ok)
        assert.matches("only the event loop may resume it", answer, 1, true)
      end
      assert.same({ true, true, "done" }, { async.await(task) })
    end)
  end)

  it("is so also where it was made by wrap", function()
    async.run(function()
      local outer
      local task = async.create_task(function()
        return std.coroutine.wrap(function()
          outer = coroutine.running()
          return std.coroutine.wrap(function() return async.sleep(0.005, "done") end)()
        end)()
      end)
      async.sleep(0)
      async.sleep(0)
      for _, resume in ipairs({ coroutine.resume, std.coroutine.resume }) do
        local ok, answer = resume(outer, "something", "passed")
        assert.is_true(ok)
        assert.matches("only the event loop may resume it", answer, 1, true)
      end
      assert.equal("done", async.await(task))
    end)
  end)
end)
