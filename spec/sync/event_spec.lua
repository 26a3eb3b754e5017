local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure_kind, failure_text = helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

describe("an Event", function()
  it("is clear at first, and set and cleared as often as one likes", function()
    run(function()
      local event = async.Event()
      assert.is_false(event:is_set())
      for _ = 1, 2 do
        event:set()
        event:set()
        assert.is_true(event:is_set())
        event:clear()
        event:clear()
        assert.is_false(event:is_set())
      end
    end)
  end)

  it("lets everybody pass while it is set, and holds them when it was cleared", function()
    run(function()
      local event = async.Event()
      event:set()
      event:wait()
      event:wait()
      event:clear()
      local task = async.create_task(function() event:wait() end)
      settle()
      assert.equal("waiting", task:state())
      event:set()
      async.await(task)
    end)
  end)

  it("wakes all its waiters in the order in which they came", function()
    run(function()
      local event, log = async.Event(), helpers.log()
      for i = 1, 5 do
        async.create_task(function()
          event:wait()
          log(i)
        end)
      end
      settle()
      event:set()
      assert.equal("", tostring(log))
      settle()
      assert.equal("1 2 3 4 5", tostring(log))
    end)
  end)

  it("releases its waiters also when it is cleared before they run", function()
    run(function()
      local event, woken = async.Event(), 0
      for _ = 1, 3 do
        async.create_task(function()
          event:wait()
          woken = woken + 1
        end)
      end
      settle()
      event:set()
      event:clear()
      settle()
      assert.equal(3, woken)
      assert.is_false(event:is_set())
    end)
  end)

  it("holds a newcomer after it was set and cleared, although woken tasks have not run yet", function()
    run(function()
      local event, log = async.Event(), helpers.log()
      async.create_task(function()
        event:wait()
        log("old")
      end)
      settle()
      event:set()
      event:clear()
      local new = async.create_task(function()
        event:wait()
        log("new")
      end)
      settle()
      assert.equal("old", tostring(log))
      assert.equal("waiting", new:state())
      assert.equal(1, event:statistics().waiters)
    end, helpers.leaving_tasks)
  end)

  it("may be set from a callback and by a finished waiter", function()
    run(function()
      local first, second = async.Event(), async.Event()
      async.create_task(function()
        first:wait()
        second:set()
      end)
      async.call_soon(function() first:set() end)
      second:wait()
      assert.is_true(first:is_set())
    end)
  end)

  it("wakes a task that waits again at once", function()
    run(function()
      local event, rounds = async.Event(), 0
      local task = async.create_task(function()
        for _ = 1, 3 do
          event:wait()
          event:clear()
          rounds = rounds + 1
        end
      end)
      while not task:done() do
        event:set()
        async.sleep(0)
      end
      assert.equal(3, rounds)
    end)
  end)

  it("loses a waiter that is cancelled, and no other", function()
    run(function()
      local event, tasks, log = async.Event(), {}, helpers.log()
      for i = 1, 4 do
        tasks[i] = async.create_task(function()
          event:wait()
          log(i)
        end)
      end
      settle()
      assert.equal(4, event:statistics().waiters)
      tasks[1]:cancel()
      tasks[3]:cancel()
      settle()
      assert.equal(2, event:statistics().waiters)
      event:set()
      settle()
      assert.equal("2 4", tostring(log))
      assert.equal(0, event:statistics().waiters)
    end)
  end)

  it("cancelled in the turn of set: that waiter is cancelled, the others are woken", function()
    run(function()
      local event, tasks = async.Event(), {}
      for i = 1, 3 do
        tasks[i] = async.create_task(function()
          event:wait()
          return "woken"
        end)
      end
      settle()
      event:set()
      tasks[2]:cancel()
      assert.equal("woken", async.await(tasks[1]))
      assert.equal("CancelledError", failure_kind(async.await, tasks[2]))
      assert.equal("woken", async.await(tasks[3]))
    end)
  end)

  it("can be waited for under a deadline, which leaves no waiter behind", function()
    run(function()
      local event = async.Event()
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, event.wait, event))
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() event:wait() end, 0.002))
      assert.equal(0, event:statistics().waiters)
    end)
  end)

  it("wakes many", function()
    run(function()
      local event, woken = async.Event(), 0
      for _ = 1, 10000 do
        async.create_task(function()
          event:wait()
          woken = woken + 1
        end)
      end
      settle()
      assert.equal(10000, event:statistics().waiters)
      event:set()
      while woken < 10000 do async.sleep(0) end
      assert.equal(0, event:statistics().waiters)
    end)
  end)

  it("lives as long as a task waits for it", function()
    run(function()
      local woken
      local weak = setmetatable({}, { __mode = "v" })
      local function wait()
        local event = async.Event()
        weak[1] = event
        async.create_task(function()
          event:wait()
          woken = true
        end)
      end
      wait()
      settle()
      helpers.collect_garbage()
      weak[1]:set()
      settle()
      assert.is_true(woken)
      helpers.collect_garbage()
      assert.is_nil(weak[1])
    end)
  end)

  it("is described by tostring", function()
    run(function()
      local event = async.Event()
      local clear = tostring(event)
      assert.matches("^<Event", clear)
      event:set()
      assert.matches("^<Event", tostring(event))
      assert.is_false(clear == tostring(event))
      event:clear()
      async.create_task(function() event:wait() end)
      settle()
      assert.matches("1", tostring(event), 1, true)
    end, helpers.leaving_tasks)
  end)

  it("is named with its waiters by waiting_on and in a DeadlockError", function()
    local err = helpers.failure(async.run, function()
      local event = async.Event()
      local task = async.create_task(function() event:wait() end)
      settle()
      assert.equal("event (1 waiting)", task:waiting_on())
      assert.same({ is_set = false, waiters = 1 }, event:statistics())
      event:wait()
    end)
    assert.equal("DeadlockError", helpers.kind(err))
    assert.matches("event (2 waiting)", err.message, 1, true)
  end)

  it("returns true from wait, and needs a task only where that waits", function()
    local event = async.Event()
    assert.equal("RuntimeError", failure_kind(event.wait, event))
    assert.equal(0, event:statistics().waiters)
    event:set()
    assert.is_true(event:wait())
    event:clear()
    run(function()
      async.call_soon(function() event:set() end)
      assert.is_true(event:wait())
    end)
  end)

  it("checks the object that a method is called on", function()
    local event = async.Event()
    local light = debug.upvalueid(function() return event end, 1)
    for _, method in ipairs({ "wait", "set", "clear", "is_set", "statistics" }) do
      for _, stranger in ipairs({ {}, "event", io.stdout, light, async.Semaphore(), async.Lock() }) do
        assert.matches("bad argument #1", failure_text(event[method], stranger), 1, true)
      end
      assert.is_false(pcall(event[method]))
    end
  end)

  it("can be used by a finalizer that runs after its own", function()
    local set
    local holder = setmetatable({}, {
      __gc = function(self)
        self.event:set()
        set = self.event:is_set()
      end,
    })
    holder.event = async.Event() -- finalized first, since it was made last
    holder = nil -- luacheck: ignore 311
    helpers.collect_garbage()
    assert.is_true(set)
  end)
end)
