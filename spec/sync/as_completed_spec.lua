local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

local later = async(function(delay, value)
  async.sleep(delay)
  return value
end)

local function results(list, opts)
  local log = helpers.log()
  for task in async.as_completed(list, opts) do log(task:result()) end
  return tostring(log)
end

describe("as_completed", function()
  it("gives finished tasks in the order in which they finish", function()
    run(function()
      local futures, log = { async.Future(), async.Future(), async.Future() }, helpers.log()
      async.create_task(function()
        for _, i in ipairs({ 2, 3, 1 }) do
          settle()
          futures[i]:set_result(i)
        end
      end)
      for fut in async.as_completed(futures) do
        assert.is_true(fut:done())
        log(fut:result())
      end
      assert.equal("2 3 1", tostring(log))
    end)
  end)

  it("gives those that finish in one turn in that order too", function()
    run(function()
      local futures = { async.Future(), async.Future(), async.Future() }
      async.call_soon(function()
        for _, i in ipairs({ 3, 1, 2 }) do futures[i]:set_result(i) end
      end)
      assert.equal("3 1 2", results(futures))
    end)
  end)

  it("gives the tasks and futures themselves, and tasks for the other awaitables", function()
    run(function()
      local task, fut = async.create_task(later(0, "task")), async.Future()
      fut:set_result("future")
      local object = setmetatable({}, { __await = function() return "object" end })
      local seen = {}
      for done in async.as_completed({ task, fut, later(0, "coroutine"), function() return "function" end, object }) do
        seen[done:result()] = done
      end
      assert.is_true(rawequal(task, seen.task))
      assert.is_true(rawequal(fut, seen.future))
      for _, name in ipairs({ "coroutine", "function", "object" }) do
        assert.equal("done", seen[name]:state())
      end
    end)
  end)

  it("gives those that are done already first, in input order", function()
    run(function()
      local a, b = async.Future(), async.Future()
      b:set_result("b")
      a:set_result("a")
      assert.equal("a b c", results({ a, b, later(0, "c") }))
    end)
  end)

  it("gives failed and cancelled ones as well", function()
    run(function()
      local gone = async.create_task(forever)
      local bad = async.create_task(function() error("broken", 0) end)
      async.call_later(0.002, function() gone:cancel() end)
      local seen = {}
      for task in async.as_completed({ gone, bad }) do seen[#seen + 1] = task end
      assert.is_true(rawequal(bad, seen[1]))
      assert.equal("broken", failure(bad.result, bad))
      assert.is_true(rawequal(gone, seen[2]))
      assert.is_true(gone:cancelled())
    end)
  end)

  it("ends at once for an empty list, and stays ended", function()
    run(function()
      assert.equal("", results({}))
      local iterate, state, control = async.as_completed({ later(0, "only") })
      assert.equal("only", iterate(state, control):result())
      assert.is_nil(iterate(state, control))
      assert.is_nil(iterate(state, control))
    end)
  end)

  it("starts all of them, also when the loop is slow to ask", function()
    run(function()
      local log = helpers.log()
      for task in async.as_completed({ later(0.002, "b"), later(0, "a"), later(0.004, "c") }) do
        log(task:result())
        async.sleep(0.01)
      end
      assert.equal("a b c", tostring(log))
    end)
  end)

  it("leaves the others running when the loop is left", function()
    run(function()
      local slow = async.create_task(later(0.004, "slow"))
      local seen = 0
      for task in async.as_completed({ slow, later(0, "quick") }) do
        seen = seen + 1
        if task:result() == "quick" then break end
      end
      assert.equal(1, seen)
      assert.equal("slow", async.await(slow))
    end)
  end)

  it("gives one that is listed twice only once", function()
    run(function()
      local task, body, seen = async.create_task(function() async.sleep(0) end), async(function() end)(), {}
      for finished in async.as_completed { task, body, task, body } do seen[#seen + 1] = finished end
      assert.equal(2, #seen)
      assert.is_true(rawequal(seen[1], task) or rawequal(seen[2], task))
      assert.is_false(rawequal(seen[1], seen[2]))
    end)
  end)

  it("can be used twice at the same time on the same tasks", function()
    run(function()
      local a, b = async.create_task(later(0.004, "a")), async.create_task(later(0, "b"))
      local first, second = async.gather(async(results)({ a, b }), async(results)({ b, a }))
      assert.equal("b a", first)
      assert.equal("b a", second)
    end)
  end)

  it("can be handed to several tasks, each of which gets a part", function()
    run(function()
      local iterate, state, control = async.as_completed({ later(0, 1), later(0.002, 2), later(0.004, 4) })
      local function consumer()
        local sum = 0
        for task in iterate, state, control do sum = sum + task:result() end
        return sum
      end
      local a, b = async.gather(consumer, consumer)
      assert.equal(7, a + b)
    end)
  end)

  it("can hold many", function()
    run(function()
      local list, count = {}, 0
      for i = 1, 2000 do list[i] = later(i % 7 * 0.001, i) end
      for _ in async.as_completed(list) do count = count + 1 end
      assert.equal(2000, count)
    end)
  end)
end)

describe("as_completed with a timeout", function()
  it("raises TimeoutError when the time is over; the tasks go on", function()
    run(function()
      local gate, quick, log = async.Future(), async.Future(), helpers.log()
      local slow = async.create_task(function() return async.await(gate) end)
      quick:set_result("quick")
      local err = failure(function()
        for task in async.as_completed({ slow, quick }, { timeout = 0.01 }) do log(task:result()) end
      end)
      assert.equal("TimeoutError", err.name)
      assert.equal("quick", tostring(log))
      assert.is_false(slow:done())
      gate:set_result("slow")
      assert.equal("slow", async.await(slow))
    end)
  end)

  it("counts from the call, not from each step", function()
    run(function()
      local seen, ready = 0, async.Future()
      ready:set_result()
      local kind = failure_kind(function()
        for _ in async.as_completed({ ready, forever }, { timeout = 0.02 }) do
          seen = seen + 1
          async.sleep(0.03)
        end
      end)
      assert.equal("TimeoutError", kind)
      assert.equal(1, seen)
    end, helpers.leaving_tasks)
  end)

  it("raises nothing when all come in time, and leaves no timer", function()
    local kind = failure_kind(async.run, function()
      assert.equal("a", results({ later(0, "a") }, { timeout = 3600 }))
      async.await(async.Future())
    end)
    assert.equal("DeadlockError", kind)
  end)
end)

describe("cancelling the task that iterates", function()
  it("raises CancelledError and leaves the others", function()
    run(function()
      local fut = async.Future()
      local task = async.create_task(function() results({ fut }) end)
      settle()
      task:cancel("stop")
      assert.equal("CancelledError: stop", failure_text(async.await, task))
      assert.is_false(fut:done())
    end)
  end)

  it("loses nothing: what finished in that turn comes next", function()
    run(function()
      local fut, seen = async.Future(), nil
      local iterate, state, control = async.as_completed({ fut })
      local task = async.create_task(function()
        pcall(iterate, state, control)
        seen = iterate(state, control)
      end)
      settle()
      fut:set_result("value")
      task:cancel()
      async.await(task)
      assert.is_true(rawequal(fut, seen))
    end)
  end)
end)

describe("the arguments of as_completed", function()
  it("are checked, and nothing is started", function()
    run(function()
      local co = later(0, "kept")
      for _, case in ipairs({
        { "bad argument #1 to 'as_completed' (table expected" },
        { "bad argument #1 to 'as_completed' (table expected, got number)", 42 },
        { "bad argument #1 to 'as_completed'", { co, "x" } },
        { "bad argument #2 to 'as_completed'", { co }, 42 },
        { "timeout", { co }, { timeout = "x" } },
      }) do
        assert.matches(case[1], failure_text(async.as_completed, table.unpack(case, 2)), 1, true)
      end
      assert.equal("kept", async.await(co))
      assert.equal(1, #async.all_tasks())
    end)
  end)
end)
