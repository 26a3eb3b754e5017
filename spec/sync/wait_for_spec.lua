local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever, defer = helpers.test, helpers.settle, helpers.forever, helpers.defer

local function slow(...)
  async.sleep(0)
  return ...
end

describe("wait_for", function()
  it("returns all results of every kind of awaitable", function()
    run(function()
      local function values() return slow(1, nil, 3, nil) end
      local fut = async.Future()
      async.call_soon(function() fut:set_result(1, nil, 3, nil) end)
      local object = setmetatable({}, { __await = values })
      for _, awaitable in ipairs({ values, async(values)(), async.create_task(values), fut, object }) do
        assert.same({ n = 4, 1, nil, 3, nil }, table.pack(async.wait_for(awaitable, 3600)))
      end
    end)
  end)

  it("waits as long as it takes without a timeout", function()
    run(function()
      assert.equal("a", async.wait_for(async(async.sleep)(0.002, "a"), nil))
      assert.equal("b", async.wait_for(async.create_task(async(async.sleep)(0.002, "b"))))
      assert.equal("c", async.wait_for(async(async.sleep)(0.002, "c"), math.huge))
    end)
  end)

  it("runs coroutines, functions and __await in the caller's task", function()
    run(function()
      local me = async.current_task()
      local object = setmetatable({}, { __await = async.current_task })
      for _, awaitable in ipairs({ async(async.current_task)(), async.current_task, object }) do
        assert.is_true(rawequal(me, async.wait_for(awaitable, 3600)))
      end
    end)
  end)

  it("raises the error, the very same value", function()
    run(function()
      local err = async.ValueError("inner")
      local function bad()
        async.sleep(0)
        error(err)
      end
      for _, awaitable in ipairs({ bad, async(bad)(), async.create_task(bad) }) do
        assert.is_true(rawequal(err, failure(async.wait_for, awaitable, 3600)))
      end
    end)
  end)

  it("returns at once what is done already, whatever the timeout", function()
    run(function()
      local fut = async.Future()
      fut:set_result("done")
      for _, timeout in ipairs({ 0, -1, 1 }) do assert.equal("done", async.wait_for(fut, timeout)) end
      assert.equal(0, async.current_task():cancelling())
    end)
  end)
end)

describe("wait_for, when the time is over,", function()
  it("cancels the awaitable, waits for it to end, and raises TimeoutError", function()
    run(function()
      local log = helpers.log()
      local function work()
        local _ <close> = defer(function()
          async.sleep(0.002)
          log("cleaned up")
        end)
        forever()
      end
      for _, awaitable in ipairs({ work, async(work)(), async.create_task(work) }) do
        assert.equal("TimeoutError", failure_kind(async.wait_for, awaitable, 0.002))
        log("/")
      end
      assert.equal("cleaned up / cleaned up / cleaned up /", tostring(log))
      assert.equal(0, async.current_task():cancelling())
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("is never early", function()
    run(function()
      local start = async.time()
      failure(async.wait_for, async.Future(), 0.02)
      assert.is_true(async.time() - start >= 0.02)
    end)
  end)

  it("cancels a task and a future that is waited for", function()
    run(function()
      local task, fut = async.create_task(forever), async.Future()
      assert.equal("TimeoutError", failure_kind(async.wait_for, task, 0.002))
      assert.is_true(task:cancelled())
      assert.equal("TimeoutError", failure_kind(async.wait_for, fut, 0.002))
      assert.is_true(fut:cancelled())
    end)
  end)

  it("raises TimeoutError for a timeout of zero or less too", function()
    run(function()
      for _, timeout in ipairs({ 0, -1 }) do
        local task = async.create_task(forever)
        assert.equal("TimeoutError", failure_kind(async.wait_for, task, timeout))
        assert.is_true(task:cancelled())
        assert.equal("TimeoutError", failure_kind(async.wait_for, async.Future(), timeout))
        assert.equal("TimeoutError", failure_kind(async.wait_for, async(forever)(), timeout))
      end
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("raises the CancelledError of what was cancelled before, whatever the timeout", function()
    run(function()
      local task = async.create_task(forever)
      task:cancel("before")
      settle()
      for _, timeout in ipairs({ 0, -1, 1 }) do
        local err = failure(async.wait_for, task, timeout)
        assert.equal("CancelledError: before", tostring(err))
      end
    end)
  end)

  it("returns the result of a task that swallows the cancellation and returns", function()
    run(function()
      local function stubborn()
        pcall(forever)
        return slow("anyway", 2)
      end
      assert.same({ n = 2, "anyway", 2 }, table.pack(async.wait_for(async.create_task(stubborn), 0.002)))
      local started = async.create_task(stubborn)
      settle()
      assert.same({ n = 2, "anyway", 2 }, table.pack(async.wait_for(started, 0)))
      assert.same({ n = 2, "anyway", 2 }, table.pack(async.wait_for(stubborn, 0.002)))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("raises the error of a cleanup that fails", function()
    run(function()
      local function work()
        pcall(forever)
        error("cleanup broke", 0)
      end
      for _, awaitable in ipairs({ work, async.create_task(work) }) do
        assert.equal("cleanup broke", failure(async.wait_for, awaitable, 0.002))
      end
      assert.equal(0, async.current_task():cancelling())
    end)
  end)
end)

describe("a result that arrived", function()
  it("wins over the deadline of the same turn: a future", function()
    run(function()
      local fut = async.Future()
      async.call_soon(function()
        fut:set_result("in time")
        helpers.spin(0.01)
      end)
      assert.equal("in time", async.wait_for(fut, 0.002))
      async.sleep(0.005)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("wins over the deadline of the same turn: a task", function()
    run(function()
      local gate = async.Event()
      local task = async.create_task(function()
        gate:wait()
        helpers.spin(0.01)
        return "in time"
      end)
      async.call_soon(function() gate:set() end)
      assert.equal("in time", async.wait_for(task, 0.002))
      async.sleep(0.005)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("wins over the deadline of the same turn: an event, a permit", function()
    run(function()
      local event, sem = async.Event(), async.Semaphore(0)
      async.call_soon(function()
        event:set()
        helpers.spin(0.01)
      end)
      assert.equal("woken", async.wait_for(function()
        event:wait()
        return "woken"
      end, 0.002))
      async.call_soon(function()
        sem:release()
        helpers.spin(0.01)
      end)
      assert.is_true(rawequal(sem, async.wait_for(function() return sem:acquire() end, 0.002)))
      assert.equal(0, sem:value())
    end)
  end)

  it("wins over a deadline that passed while nothing waited", function()
    run(function()
      assert.equal("result", async.wait_for(function()
        helpers.spin(0.01)
        return "result"
      end, 0.002))
      async.sleep(0.005)
    end)
  end)

  it("is not lost: after TimeoutError the permit is still there", function()
    run(function()
      local sem = async.Semaphore(0)
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() sem:acquire() end, 0.002))
      assert.equal(0, sem:statistics().waiters)
      sem:release()
      assert.equal(1, sem:value())
    end)
  end)
end)

describe("cancelling the task that is in wait_for", function()
  it("cancels the awaitable, waits for its cleanup, and raises CancelledError", function()
    run(function()
      local log = helpers.log()
      local inner = async.create_task(function()
        local _ <close> = defer(function()
          async.sleep(0.002)
          log("cleaned up")
        end)
        forever()
      end)
      local outer = async.create_task(function() return async.wait_for(inner, 3600) end)
      settle()
      outer:cancel("stop")
      assert.equal("CancelledError: stop", failure_text(async.await, outer))
      assert.is_true(outer:cancelled())
      assert.is_true(inner:cancelled())
      assert.equal("cleaned up", tostring(log))
    end)
  end)

  it("raises CancelledError also when the deadline comes during that cleanup", function()
    run(function()
      local inner = async.create_task(function()
        local _ <close> = defer(function() async.sleep(0.02) end)
        forever()
      end)
      local outer = async.create_task(function() return async.wait_for(inner, 0.01) end)
      settle()
      outer:cancel()
      failure(async.await, outer)
      assert.is_true(outer:cancelled())
    end)
  end)

  it("raises CancelledError, not TimeoutError, when somebody else cancels the awaitable", function()
    run(function()
      local inner = async.create_task(forever)
      async.call_soon(function() inner:cancel("somebody else") end)
      assert.equal("CancelledError: somebody else", failure_text(async.wait_for, inner, 3600))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)
end)

describe("nested wait_for", function()
  it("the inner deadline first", function()
    run(function()
      assert.equal("TimeoutError went on", async.wait_for(function()
        return failure_kind(async.wait_for, forever, 0.002) .. slow(" went on")
      end, 3600))
    end)
  end)

  it("the outer deadline first", function()
    run(function()
      local inner
      local kind = failure_kind(async.wait_for, function()
        inner = failure(async.wait_for, forever, 3600)
        error(inner, 0)
      end, 0.002)
      assert.equal("CancelledError", inner.name)
      assert.equal("TimeoutError", kind)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)
end)

describe("the arguments of wait_for", function()
  it("are checked, and nothing is started", function()
    run(function()
      local co = async(function() return "kept" end)()
      for _, case in ipairs({
        { "bad argument #1 to 'wait_for'", 42, 1 },
        { "bad argument #1 to 'wait_for'" },
        { "bad argument #2 to 'wait_for' (number expected, got string)", co, "x" },
        { "bad argument #2 to 'wait_for'", co, 0 / 0 },
        { "bad argument #2 to 'wait_for'", async.Future(), {} },
      }) do
        assert.matches(case[1], failure_text(async.wait_for, table.unpack(case, 2)), 1, true)
      end
      assert.equal("kept", async.await(co))
    end)
  end)

  it("need a task to wait in", function()
    local co = async(function() return "kept" end)()
    assert.equal("RuntimeError", failure_kind(async.wait_for, co, 1))
    assert.equal("kept", async.run(co))
  end)
end)
