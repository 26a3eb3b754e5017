local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

describe("shield", function()
  it("returns all results of every kind of awaitable", function()
    run(function()
      local function slow() return async.sleep(0, 1, nil, 3) end
      local fut = async.Future()
      async.call_soon(function() fut:set_result(1, nil, 3) end)
      local object = setmetatable({}, { __await = slow })
      local done = async.create_task(slow)
      async.await(done)
      for _, awaitable in ipairs({ slow, async(slow)(), async.create_task(slow), fut, object, done }) do
        assert.same({ n = 3, 1, nil, 3 }, table.pack(async.shield(awaitable)))
      end
    end)
  end)

  it("raises the error, the very same value", function()
    run(function()
      local err = async.ValueError("inner")
      local function bad() error(err) end
      for _, awaitable in ipairs({ bad, async(bad)(), async.create_task(bad) }) do
        assert.is_true(rawequal(err, failure(async.shield, awaitable)))
      end
    end)
  end)

  it("leaves the inner task running when the awaiter is cancelled", function()
    run(function()
      local gate = async.Future()
      local inner = async.create_task(function() return async.await(gate) end)
      local outer = async.create_task(function() return async.shield(inner) end)
      settle()
      outer:cancel("stop")
      assert.equal("CancelledError: stop", failure_text(async.await, outer))
      assert.is_false(inner:done())
      assert.equal(0, inner:cancelling())
      gate:set_result("saved")
      assert.equal("saved", async.await(inner))
    end)
  end)

  it("keeps a coroutine and a function running too, with nobody else to hold them", function()
    run(function()
      local log = helpers.log()
      local function save()
        async.sleep(0.002)
        log("saved")
      end
      for _, awaitable in ipairs({ async(save)(), save }) do
        local outer = async.create_task(function() async.shield(awaitable) end)
        settle()
        outer:cancel()
        failure(async.await, outer)
      end
      helpers.collect_garbage()
      async.sleep(0.01)
      assert.equal("saved saved", tostring(log))
    end)
  end)

  it("keeps a future open", function()
    run(function()
      local fut = async.Future()
      local outer = async.create_task(function() async.shield(fut) end)
      settle()
      outer:cancel()
      failure(async.await, outer)
      assert.is_false(fut:done())
      fut:set_result("still open")
    end)
  end)

  it("runs a coroutine in a task of its own", function()
    run(function()
      assert.is_false(rawequal(async.current_task(), async.shield(async(async.current_task)())))
    end)
  end)

  it("raises CancelledError when the inner task is cancelled; the awaiter was not", function()
    run(function()
      local inner = async.create_task(forever)
      async.call_soon(function() inner:cancel("inner") end)
      assert.equal("CancelledError: inner", failure_text(async.shield, inner))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("stops the way of a cancellation through gather, wait_for and timeout", function()
    run(function()
      for _, wait in ipairs({
        function(inner) async.gather(function() return async.shield(inner) end) end,
        function(inner) async.wait_for(function() return async.shield(inner) end, 3600) end,
        function(inner) async.timeout(3600, async.shield, inner) end,
        function(inner)
          async.task_group(function(tg) tg:create_task(function() return async.shield(inner) end) end)
        end,
      }) do
        local inner = async.create_task(forever)
        local outer = async.create_task(function() wait(inner) end)
        settle()
        outer:cancel()
        assert.equal("CancelledError", failure_kind(async.await, outer))
        settle()
        assert.is_false(inner:done())
        inner:cancel()
      end
    end)
  end)

  it("lets a deadline pass by: the inner task goes on", function()
    run(function()
      local gate = async.Future()
      local inner = async.create_task(function() return async.await(gate) end)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, async.shield, inner))
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() return async.shield(inner) end, 0.002))
      gate:set_result("saved")
      assert.equal("saved", async.await(inner))
    end)
  end)

  it("does not protect at the end of run", function()
    local inner
    run(function()
      inner = async.create_task(forever)
      async.create_task(function() async.shield(inner) end)
      settle()
    end, helpers.leaving_tasks)
    assert.is_true(inner:cancelled())
  end)

  it("can be awaited again after a cancellation", function()
    run(function()
      local inner = async.create_task(function() return async.sleep(0.002, "value") end)
      local outer = async.create_task(function()
        pcall(async.shield, inner)
        return async.shield(inner)
      end)
      settle()
      outer:cancel()
      assert.equal("value", async.await(outer))
    end)
  end)

  it("checks its argument", function()
    run(function()
      assert.matches("bad argument #1 to 'shield'", failure_text(async.shield), 1, true)
      assert.matches("bad argument #1 to 'shield'", failure_text(async.shield, 42), 1, true)
    end)
  end)

  it("needs a task to wait in, and starts nothing without one", function()
    local co = async(function() return "kept" end)()
    assert.equal("RuntimeError", failure_kind(async.shield, co))
    assert.equal("kept", async.run(co))
  end)
end)
