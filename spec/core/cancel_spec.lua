local async = require "luawait"
local helpers = require "spec.support.helpers"
local std = require "luawait.std"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever, defer = helpers.test, helpers.settle, helpers.forever, helpers.defer

describe("task:cancel", function()
  it("makes the wait that the task is in raise CancelledError with the message", function()
    run(function()
      local seen
      local task = async.create_task(function()
        seen = failure(forever)
        error(seen, 0)
      end)
      settle()
      assert.is_true(task:cancel("not needed"))
      assert.is_false(task:done())
      assert.is_true(rawequal(failure(async.await, task), seen))
      assert.equal("CancelledError: not needed", tostring(seen))
      assert.is_true(task:cancelled())
      assert.is_true(task:done())
    end)
  end)

  it("has an empty message when none was given", function()
    run(function()
      local task = async.create_task(forever)
      settle()
      task:cancel()
      assert.equal("", failure(async.await, task).message)
    end)
  end)

  it("is false for a task that is done", function()
    run(function()
      local good, bad = async.create_task(function() return 1 end), async.create_task(error)
      settle()
      assert.is_false(good:cancel())
      assert.is_false(bad:cancel())
      assert.equal(1, good:result())
      assert.is_truthy(bad:exception())
      assert.equal(0, good:cancelling())
    end)
  end)

  it("ends a task that was not started without running it", function()
    run(function()
      local ran = false
      local body = async(function() ran = true end)
      local task, plain = async.create_task(body()), async.create_task(function() ran = true end)
      assert.is_true(task:cancel("before"))
      assert.is_true(plain:cancel())
      assert.equal("before", failure(async.await, task).message)
      settle()
      assert.is_false(ran)
      assert.equal("cancelled", task:state())
      assert.is_true(plain:cancelled())
    end)
  end)

  it("of the running task interrupts its next wait", function()
    run(function()
      local log = helpers.log()
      local task = async.create_task(function()
        async.current_task():cancel("myself")
        log("still running")
        async.sleep(0)
        log("not reached")
      end)
      assert.equal("myself", failure(async.await, task).message)
      assert.equal("still running", tostring(log))
    end)
  end)

  it("of the running task that does not wait any more lets it end cancelled", function()
    run(function()
      local task = async.create_task(function()
        async.current_task():cancel()
        return "result"
      end)
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_true(task:cancelled())
    end)
  end)

  it("of the running task that then fails lets it fail", function()
    run(function()
      local task = async.create_task(function()
        async.current_task():cancel()
        error("own error", 0)
      end)
      assert.equal("own error", failure(async.await, task))
      assert.is_false(task:cancelled())
    end)
  end)

  it("of the main task makes run raise CancelledError", function()
    local err = failure(async.run, function()
      async.current_task():cancel("give up")
      async.sleep(0)
    end)
    assert.equal("CancelledError: give up", tostring(err))
  end)

  it("may come from a callback", function()
    run(function()
      local task = async.create_task(forever)
      async.call_soon(function() task:cancel("callback") end)
      assert.equal("callback", failure(async.await, task).message)
    end)
  end)

  it("ends several tasks in the order of the requests", function()
    run(function()
      local log, tasks = helpers.log(), {}
      for i = 1, 3 do
        tasks[i] = async.create_task(function()
          local _ <close> = defer(function() log(i) end)
          forever()
        end)
      end
      settle()
      for _, i in ipairs({ 2, 3, 1 }) do tasks[i]:cancel() end
      settle()
      assert.equal("2 3 1", tostring(log))
    end)
  end)

  it("counts requests; several before the task runs are one CancelledError", function()
    run(function()
      local errors = {}
      local task = async.create_task(function()
        for _, wait in ipairs({ forever, async.sleep, async.sleep }) do
          errors[#errors + 1] = failure(wait, 0.001)
        end
      end)
      settle()
      assert.equal(0, task:cancelling())
      task:cancel("first")
      task:cancel("last")
      assert.equal(2, task:cancelling())
      async.await(task)
      assert.equal(1, #errors)
      assert.equal("last", errors[1].message)
    end)
  end)

  it("takes a message that is a string", function()
    run(function()
      local task = async.create_task(forever)
      assert.matches("bad argument #1 to 'cancel'", failure_text(function() task:cancel({}) end), 1, true)
      assert.equal(0, task:cancelling())
    end, helpers.leaving_tasks)
  end)
end)

describe("a task that catches its cancellation", function()
  it("goes on, and its next waits are not interrupted", function()
    run(function()
      local task = async.create_task(function()
        pcall(forever)
        async.sleep(0)
        async.sleep(0.001)
        return "finished", async.current_task():cancelling()
      end)
      settle()
      task:cancel()
      local result, requests = async.await(task)
      assert.equal("finished", result)
      assert.equal(1, requests)
      assert.is_false(task:cancelled())
    end)
  end)

  it("takes requests back with uncancel, never below zero", function()
    run(function()
      local counts
      local task = async.create_task(function()
        local me = async.current_task()
        pcall(forever)
        counts = { me:cancelling(), me:uncancel(), me:uncancel(), me:uncancel(), me:cancelling() }
      end)
      settle()
      task:cancel()
      task:cancel()
      async.await(task)
      assert.same({ 2, 1, 0, 0, 0 }, counts)
    end)
  end)

  it("can be cancelled again", function()
    run(function()
      local task = async.create_task(function()
        pcall(forever)
        forever()
      end)
      settle()
      task:cancel("first")
      settle()
      assert.is_false(task:done())
      task:cancel("second")
      assert.equal("second", failure(async.await, task).message)
    end)
  end)

  it("and raises another error fails with that", function()
    run(function()
      local task = async.create_task(function()
        pcall(forever)
        error("instead", 0)
      end)
      settle()
      task:cancel()
      assert.equal("instead", failure(async.await, task))
      assert.is_false(task:cancelled())
    end)
  end)

  it("and raises it again later is cancelled", function()
    run(function()
      local task = async.create_task(function()
        local err = failure(forever)
        async.sleep(0)
        error(err, 0)
      end)
      settle()
      task:cancel("kept")
      assert.equal("kept", failure(async.await, task).message)
      assert.is_true(task:cancelled())
    end)
  end)
end)

describe("a task that raises CancelledError of its own accord", function()
  it("ends cancelled, without a request", function()
    run(function()
      local own = async.CancelledError("gave up")
      local task = async.create_task(function() error(own) end)
      assert.is_true(rawequal(own, failure(async.await, task)))
      assert.is_true(task:cancelled())
      assert.equal("cancelled", task:state())
      assert.equal(0, task:cancelling())
    end)
  end)
end)

describe("cleanup on cancellation", function()
  it("runs from the inside out, and may wait", function()
    run(function()
      local log = helpers.log()
      local function level(n)
        local _ <close> = defer(function()
          async.sleep(0)
          log(n)
        end)
        if n == 0 then forever() end
        level(n - 1)
      end
      local task = async.create_task(function() level(3) end)
      settle()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.equal("0 1 2 3", tostring(log))
    end)
  end)

  it("gets the CancelledError in __close", function()
    run(function()
      local seen
      local task = async.create_task(function()
        local _ <close> = defer(function(err) seen = err end)
        forever()
      end)
      settle()
      task:cancel("why")
      local raised = failure(async.await, task)
      assert.is_true(rawequal(raised, seen))
      assert.equal("why", seen.message)
    end)
  end)

  it("can be interrupted by a second cancel; the outer cleanups still run", function()
    run(function()
      local log = helpers.log()
      local task = async.create_task(function()
        local _ <close> = defer(function()
          async.sleep(0)
          log("outer")
        end)
        local _ <close> = defer(function()
          log("inner")
          forever()
          log("not reached")
        end)
        forever()
      end)
      settle()
      task:cancel("first")
      settle()
      assert.is_false(task:done())
      assert.is_true(task:cancel("second"))
      assert.equal("second", failure(async.await, task).message)
      assert.equal("inner outer", tostring(log))
      assert.equal(2, task:cancelling())
    end)
  end)

  it("that fails lets the task fail with that error", function()
    run(function()
      local task = async.create_task(function()
        local _ <close> = defer(function()
          async.sleep(0)
          error("cleanup broke", 0)
        end)
        forever()
      end)
      settle()
      task:cancel()
      assert.equal("cleanup broke", failure(async.await, task))
      assert.is_false(task:cancelled())
    end)
  end)

  it("may await other tasks and start new ones", function()
    run(function()
      local log = helpers.log()
      local other = async.create_task(function()
        async.sleep(0.001)
        return "other"
      end)
      local task = async.create_task(function()
        local _ <close> = defer(function()
          log(async.await(other))
          log(async.await(async.create_task(function() return "new" end)))
          log((async.gather(async(function() return "gathered" end)())))
        end)
        forever()
      end)
      settle()
      task:cancel()
      failure(async.await, task)
      assert.equal("other new gathered", tostring(log))
    end)
  end)
end)

-- Ways to wait for `fut` (nobody sets it), each with what is cancelled along with the task.
local ways = {
  { name = "await of a future", fn = async.await, passes = true },
  { name = "await of a task", fn = function(fut) async.await(async.create_task(fut)) end, passes = true },
  { name = "await of a coroutine", fn = function(fut) async.await(async(async.await)(fut)) end, passes = true },
  { name = "await of a function", fn = function(fut) async.await(function() async.await(fut) end) end, passes = true },
  { name = "await of an __await object", passes = true, fn = function(fut)
    async.await(setmetatable({}, { __await = function() async.await(fut) end }))
  end },
  { name = "gather", fn = function(fut) async.gather(fut, async(forever)()) end, passes = true },
  { name = "gather of a table", passes = true, fn = function(fut)
    async.gather({ a = fut, b = forever }, { return_exceptions = true })
  end },
  { name = "wait", fn = function(fut) async.wait({ fut }) end, passes = false },
  { name = "wait with a timeout", fn = function(fut) async.wait({ fut }, { timeout = 3600 }) end, passes = false },
  { name = "as_completed", passes = false, fn = function(fut)
    for _ in async.as_completed({ fut }, { timeout = 3600 }) do error("not reached") end
  end },
  { name = "shield", fn = async.shield, passes = false },
  { name = "wait_for", fn = function(fut) async.wait_for(fut, 3600) end, passes = true },
  { name = "wait_for without a timeout", fn = function(fut) async.wait_for(fut) end, passes = true },
  { name = "wait_for of a task", passes = true, fn = function(fut)
    async.wait_for(async.create_task(function() async.await(fut) end), 3600)
  end },
  { name = "timeout", fn = function(fut) async.timeout(3600, async.await, fut) end, passes = true },
  { name = "a timeout scope", passes = true, fn = function(fut)
    local _ <close> = async.timeout(3600)
    async.await(fut)
  end },
  { name = "the body of a task group", passes = true, fn = function(fut)
    async.task_group(function(tg)
      tg:create_task(forever)
      async.await(fut)
    end)
  end },
  { name = "leaving a task group", passes = true, fn = function(fut)
    async.task_group(function(tg) tg:create_task(fut) end)
  end },
  { name = "leaving a TaskGroup block", passes = true, fn = function(fut)
    local tg <close> = async.TaskGroup()
    tg:create_task(function() async.await(fut) end)
  end },
  { name = "a pcall", fn = function(fut) async.pcall(async.await, fut) end, passes = true },
  { name = "an xpcall", fn = function(fut) async.xpcall(async.await, debug.traceback, fut) end, passes = true },
}

describe("cancelling a task that waits in", function()
  for _, way in ipairs(ways) do
    it(way.name .. (way.passes and " cancels what it waits for" or " leaves what it waits for"), function()
      run(function()
        local fut = async.Future()
        local task = async.create_task(function() way.fn(fut) end)
        settle()
        assert.is_true(task:cancel("stop"))
        local err = failure(async.await, task)
        assert.equal("CancelledError: stop", tostring(err))
        assert.is_true(task:cancelled())
        assert.equal(way.passes, fut:cancelled())
        settle()
        assert.equal(1, #async.all_tasks())
      end)
    end)
  end

  for _, way in ipairs(ways) do
    it(way.name .. " leaves no timer and no waiter behind", function()
      local err = failure(async.run, function()
        local task = async.create_task(function() way.fn(async.Future()) end)
        settle()
        task:cancel()
        failure(async.await, task)
        async.await(async.Future())
      end)
      assert.equal("DeadlockError", helpers.kind(err))
    end)
  end

  it("sleep leaves no timer behind", function()
    local err = failure(async.run, function()
      local task = async.create_task(async(async.sleep)(3600))
      settle()
      task:cancel()
      failure(async.await, task)
      async.await(async.Future())
    end)
    assert.equal("DeadlockError", helpers.kind(err))
  end)

  it("the waits of an event and a semaphore leaves no waiter behind", function()
    run(function()
      local event, sem = async.Event(), async.Semaphore(0)
      local tasks = {
        async.create_task(function() event:wait() end), async.create_task(function() sem:acquire() end),
        async.create_task(function() sem:with(print) end),
      }
      settle()
      assert.equal(1, event:statistics().waiters)
      assert.equal(2, sem:statistics().waiters)
      for _, task in ipairs(tasks) do task:cancel() end
      for _, task in ipairs(tasks) do assert.equal("CancelledError", failure_kind(async.await, task)) end
      assert.equal(0, event:statistics().waiters)
      assert.equal(0, sem:statistics().waiters)
    end)
  end)
end)

describe("a cancellation that passes on", function()
  it("goes down a chain of tasks and comes back up", function()
    run(function()
      local log, tasks, fut = helpers.log(), {}, async.Future()
      for i = 1, 4 do
        tasks[i] = async.create_task(function()
          local _ <close> = defer(function() log(i) end)
          async.await(tasks[i - 1] or fut)
        end)
      end
      settle()
      tasks[4]:cancel("chain")
      assert.equal("chain", failure(async.await, tasks[4]).message)
      assert.is_true(fut:cancelled())
      for i = 1, 4 do assert.is_true(tasks[i]:cancelled()) end
      assert.equal("1 2 3 4", tostring(log))
    end)
  end)

  it("brings its message to all who await the same future, whoever came first", function()
    run(function()
      local direct, gathered = async.Future(), async.Future()
      local tasks = {
        async.create_task(function() async.await(direct) end), async.create_task(function() async.await(direct) end),
        async.create_task(function() async.await(gathered) end),
        async.create_task(function() async.gather(gathered) end),
      }
      settle()
      tasks[2]:cancel("direct")
      tasks[4]:cancel("gathered")
      for i, message in ipairs { "direct", "direct", "gathered", "gathered" } do
        assert.equal(message, failure(async.await, tasks[i]).message)
      end
    end)
  end)

  it("brings its message also into a coroutine in which the task awaits a future", function()
    run(function()
      local fut = async.Future()
      local task = async.create_task(std.coroutine.wrap(function() async.await(fut) end))
      settle()
      task:cancel("why")
      assert.equal("why", failure(async.await, task).message)
      assert.is_true(fut:cancelled())
    end)
  end)

  it("leaves no message for a later request", function()
    run(function()
      local inner, fut = async.create_task(forever), async.Future()
      local function swallowing(wait)
        return async.create_task(function()
          assert.equal("first", failure(wait).message)
          forever()
        end)
      end
      local other = async.create_task(function() async.await(fut) end)
      local tasks = {
        swallowing(function() async.await(fut) end), swallowing(function() async.gather(inner) end),
      }
      settle()
      for _, task in ipairs(tasks) do task:cancel("first") end
      settle()
      for _, task in ipairs(tasks) do task:cancel() end
      for _, task in ipairs(tasks) do assert.equal("", failure(async.await, task).message) end
      assert.is_true(other:done())
    end)
  end)

  it("brings its message down also when it was made before the wait", function()
    run(function()
      local seen = {}
      local inner = async.create_task(function()
        seen.inner = failure(forever).message
        error("ended", 0)
      end)
      settle()
      local outer = async.create_task(function()
        async.current_task():cancel("early")
        seen.outer = failure(async.await, inner)
        seen.later = failure(function()
          async.current_task():cancel()
          async.sleep(0)
        end).message
      end)
      async.wait { outer }
      assert.same({ inner = "early", outer = "ended", later = "" }, seen)
    end)
  end)

  it("ends at a task that swallows it: its awaiter gets the result", function()
    run(function()
      local inner = async.create_task(function()
        pcall(forever)
        async.sleep(0)
        return "inner result"
      end)
      local outer = async.create_task(function() return async.await(inner), async.current_task():cancelling() end)
      settle()
      outer:cancel()
      local result, requests = async.await(outer)
      assert.equal("inner result", result)
      assert.equal(1, requests)
      assert.is_false(inner:cancelled())
    end)
  end)

  it("becomes the error that the inner task raises instead", function()
    run(function()
      local err = async.ValueError("in the cleanup")
      local inner = async.create_task(function()
        pcall(forever)
        error(err)
      end)
      local outer = async.create_task(function() async.await(inner) end)
      settle()
      outer:cancel()
      assert.is_true(rawequal(err, failure(async.await, outer)))
    end)
  end)

  it("does not reach the others that await the same task through a shield", function()
    run(function()
      local fut = async.Future()
      local shielded = async.create_task(function() return async.shield(fut) end)
      local other = async.create_task(function() return async.await(fut) end)
      settle()
      shielded:cancel()
      settle()
      fut:set_result("value")
      assert.is_true(shielded:cancelled())
      assert.equal("value", async.await(other))
    end)
  end)

  it("reaches the others that await the same future, without a request of theirs", function()
    run(function()
      local fut = async.Future()
      local a = async.create_task(function() async.await(fut) end)
      local b = async.create_task(function() async.await(fut) end)
      settle()
      b:cancel("theirs")
      assert.equal("CancelledError", failure_kind(async.await, a))
      assert.equal(0, a:cancelling())
      assert.equal(1, b:cancelling())
    end)
  end)

  it("goes through a gather into the tasks that its children await", function()
    run(function()
      local deep = async.create_task(forever)
      local middle = async.create_task(function() async.await(deep) end)
      local top = async.create_task(function() return async.gather(middle, async(forever)()) end)
      settle()
      top:cancel()
      assert.equal("CancelledError", failure_kind(async.await, top))
      assert.is_true(middle:cancelled())
      assert.is_true(deep:cancelled())
    end)
  end)

  it("of a child that a gather waits for raises CancelledError there, and leaves the other children", function()
    run(function()
      local a, b = async.create_task(forever), async.create_task(forever)
      async.call_soon(function() a:cancel("a alone") end)
      assert.equal("CancelledError: a alone", failure_text(async.gather, a, b))
      assert.is_false(b:done())
      assert.equal(0, async.current_task():cancelling())
    end, helpers.leaving_tasks)
  end)
end)

describe("a cancellation in the turn of the wake-up", function()
  it("wins over sleep(0)", function()
    run(function()
      local went_on = false
      local task = async.create_task(function()
        async.sleep(0)
        went_on = true
      end)
      async.create_task(function() task:cancel() end)
      settle()
      assert.is_true(task:cancelled())
      assert.is_false(went_on)
    end)
  end)

  it("wins over the result of a future, which stays", function()
    run(function()
      local fut = async.Future()
      local task = async.create_task(function() return async.await(fut) end)
      settle()
      fut:set_result("value")
      assert.is_true(task:cancel())
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.equal("value", fut:result())
      assert.is_false(fut:cancelled())
    end)
  end)

  it("wins over the end of a task that is awaited, gathered or waited for", function()
    run(function()
      for _, wait in ipairs({
        async.await, async.gather, async.shield,
        function(t) async.wait({ t }) end, function(t) async.wait_for(t, 3600) end,
        function(t) async.timeout(3600, async.await, t) end,
        function(t) for _ in async.as_completed({ t }) do error("not reached") end end,
        function(t) async.task_group(function() async.await(t) end) end,
      }) do
        local fut = async.Future()
        local waiter = async.create_task(function() wait(fut) end)
        settle()
        fut:set_result("value")
        assert.is_true(waiter:cancel("wins"))
        assert.equal("CancelledError: wins", failure_text(async.await, waiter))
        assert.equal("value", fut:result())
      end
    end)
  end)

  it("wins over event:set", function()
    run(function()
      local event = async.Event()
      local gone = async.create_task(function() event:wait() end)
      local stays = async.create_task(function() event:wait() return "woken" end)
      settle()
      event:set()
      gone:cancel()
      assert.equal("CancelledError", failure_kind(async.await, gone))
      assert.equal("woken", async.await(stays))
    end)
  end)

  it("wins over semaphore:release, and the permit goes to the next", function()
    run(function()
      local sem = async.Semaphore(0)
      local gone = async.create_task(function() sem:acquire() end)
      local next_one = async.create_task(function() sem:acquire() return "acquired" end)
      settle()
      sem:release()
      gone:cancel()
      assert.equal("CancelledError", failure_kind(async.await, gone))
      assert.equal("acquired", async.await(next_one))
      assert.equal(0, sem:value())
    end)
  end)

  it("comes first, and then the wake-up finds nobody", function()
    run(function()
      local event, sem, fut = async.Event(), async.Semaphore(0), async.Future()
      local tasks = {
        async.create_task(function() event:wait() end), async.create_task(function() sem:acquire() end),
        async.create_task(function() async.shield(fut) end),
      }
      settle()
      for _, task in ipairs(tasks) do task:cancel() end
      event:set()
      sem:release()
      fut:set_result(1)
      for _, task in ipairs(tasks) do assert.equal("CancelledError", failure_kind(async.await, task)) end
      assert.equal(1, sem:value())
    end)
  end)
end)

describe("async.pcall and async.xpcall", function()
  it("let a cancellation pass", function()
    run(function()
      for _, protected in ipairs({
        async.pcall,
        function(fn) return async.xpcall(fn, debug.traceback) end,
        function(fn) return async.pcall(async.xpcall, fn, debug.traceback) end,
      }) do
        local reached = false
        local task = async.create_task(function()
          protected(forever)
          reached = true
        end)
        settle()
        task:cancel("pass")
        assert.equal("pass", failure(async.await, task).message)
        assert.is_false(reached)
      end
    end)
  end)

  it("let any CancelledError pass, unchanged, also outside of a task", function()
    local own = async.CancelledError("own")
    assert.is_true(rawequal(own, failure(async.pcall, error, own)))
    assert.is_true(rawequal(own, failure(async.xpcall, error, print, own)))
  end)

  it("catch every other error", function()
    run(function()
      for _, value in ipairs({ async.TimeoutError("t"), async.RuntimeError(), {}, "text", 42 }) do
        local ok, err = async.pcall(error, value, 0)
        assert.is_false(ok)
        assert.is_true(rawequal(value, err))
      end
      assert.is_false((async.pcall(error)))
      assert.equal(2, select("#", async.pcall(error)))
    end)
  end)

  it("pass arguments and results with nils, and may wait", function()
    run(function()
      local function slow(...)
        async.sleep(0)
        return ...
      end
      assert.same({ n = 5, true, 1, nil, 3, nil }, table.pack(async.pcall(slow, 1, nil, 3, nil)))
      assert.same({ n = 5, true, 1, nil, 3, nil }, table.pack(async.xpcall(slow, print, 1, nil, 3, nil)))
    end)
  end)

  it("call the message handler where the error was raised", function()
    local function raise_here() error("x") end
    local ok, trace = async.xpcall(function()
      raise_here()
      return 1
    end, debug.traceback)
    assert.is_false(ok)
    assert.matches("raise_here", trace, 1, true)
  end)

  it("treat wrong arguments as the originals do", function()
    local ok, message = async.pcall(42)
    assert.is_false(ok)
    assert.equal("attempt to call a number value", message)
    assert.matches("bad argument #1 to 'pcall' (value expected)", failure_text(async.pcall), 1, true)
    assert.matches("bad argument #2 to 'xpcall'", failure_text(async.xpcall, print), 1, true)
  end)
end)
