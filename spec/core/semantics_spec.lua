-- What docs/CONCURRENCY.md says and no other spec is about.
local async = require "luawait"
local net = require "luawait.net"
local testing = require "luawait.testing"
local helpers = require "spec.support.helpers"

local failure_kind, failure_text = helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

-- Whether other tasks have their turn during fn(...).
local function lets_others_run(fn, ...)
  local ran = false
  local other = async.create_task(function() ran = true end)
  fn(...)
  local result = ran
  async.await(other)
  return result
end

describe("the ready queue", function()
  it("is one for woken tasks, new tasks and callbacks: first in, first out", function()
    run(function()
      local log, fut, event = helpers.log(), async.Future(), async.Event()
      async.create_task(function() async.await(fut) log("future") end)
      async.create_task(function() event:wait() log("event") end)
      settle()
      async.call_soon(function() log("callback") end)
      event:set()
      async.create_task(function() log("task") end)
      fut:set_result()
      async.call_soon(function() log("last") end)
      settle()
      assert.equal("callback event task future last", tostring(log))
    end)
  end)

  it("lets sockets have their turn while it never gets empty", function()
    run(function()
      local server <close> = net.serve("127.0.0.1", 0, function(stream)
        for line in stream:lines() do stream:write(line, "\n") end
      end)
      local busy = async.create_task(function()
        while true do async.sleep(0) end
      end)
      local _, port = server:address()
      local stream <close> = net.connect("127.0.0.1", port)
      stream:write("hello\n")
      assert.equal("hello", stream:read_line())
      assert.is_false(busy:done())
      busy:cancel()
    end)
  end)
end)

describe("a call that has nothing to wait for", function()
  local function done_future()
    local fut = async.Future()
    fut:set_result("done")
    return fut
  end

  local function set_event()
    local event = async.Event()
    event:set()
    return event
  end

  for name, call in pairs({
    ["await of a finished future"] = function() async.await(done_future()) end,
    ["await of a function"] = function() async.await(function() end) end,
    ["await of a coroutine"] = function() async.await(async(function() end)()) end,
    ["gather of nothing"] = function() async.gather({}) end,
    ["gather of finished ones"] = function() async.gather(done_future(), done_future()) end,
    ["wait for finished ones"] = function() async.wait({ done_future() }) end,
    ["wait_for of a finished future"] = function() async.wait_for(done_future(), 1) end,
    ["wait_for of a function"] = function() async.wait_for(function() end, 1) end,
    ["shield of a finished future"] = function() async.shield(done_future()) end,
    ["timeout"] = function() async.timeout(1, function() end) end,
    ["an empty task group"] = function() async.task_group(function() end) end,
    ["Event.wait of a set event"] = function() set_event():wait() end,
    ["Semaphore.acquire of a free permit"] = function() async.Semaphore(1):acquire() end,
    ["Lock.acquire of a free lock"] = function() async.Lock():acquire() end,
  }) do
    it("lets no other task run: " .. name, function()
      run(function() assert.is_false(lets_others_run(call)) end)
    end)
  end

  it("does not raise a cancellation that is due", function()
    run(function()
      local task = async.create_task(function()
        async.current_task():cancel()
        local first = failure_kind(async.await, done_future())
        return first, failure_kind(async.Semaphore(1).acquire, async.Semaphore(1)), failure_kind(async.sleep, 0)
      end)
      local first, second, third = async.await(task)
      assert.equal("nothing nothing CancelledError", ("%s %s %s"):format(first, second, third))
    end)
  end)
end)

describe("a call that makes tasks, or is asked to yield,", function()
  for name, call in pairs({
    ["sleep(0)"] = function() async.sleep(0) end,
    ["gather of a function"] = function() async.gather(function() end) end,
    ["shield of a function"] = function() async.shield(function() end) end,
    ["wait for a function"] = function() async.wait({ function() end }) end,
    ["wait with a timeout of 0"] = function() async.wait({ async.Future() }, { timeout = 0 }) end,
  }) do
    it("lets the others run: " .. name, function()
      run(function() assert.is_true(lets_others_run(call)) end)
    end)
  end
end)

describe("uncancel", function()
  it("takes back a cancellation that was not raised yet", function()
    run(function()
      local task = async.create_task(function()
        local me = async.current_task()
        me:cancel()
        me:uncancel()
        return async.sleep(0, "not interrupted")
      end)
      assert.equal("not interrupted", async.await(task))
    end)
  end)

  it("does so also where the wait was over by itself: sleep, and wait with a timeout", function()
    local function wait(timeout) return async.wait({ async.Future() }, { timeout = timeout }) end
    for _, delay in ipairs { 0, 1 } do
      for name, fn in pairs { sleep = async.sleep, wait = wait } do
        testing.run(function()
          local task
          local canceller = async.create_task(function()
            async.sleep(delay) -- ready at the same time as the task, and before it
            if delay == 0 then async.sleep(0) end
            assert.is_true(task:cancel())
            assert.equal(0, task:uncancel())
          end)
          if delay == 0 then async.sleep(0) end
          task = async.create_task(function()
            fn(delay)
            return name
          end)
          assert.equal(name, async.await(task))
          assert.is_true(canceller:done())
        end, { leaks = false })
      end
    end
  end)
end)

describe("the coroutine of a task", function()
  it("is used again for another one when the task has ended", function()
    run(function()
      local first, second
      async.await(async.create_task(function()
        async.sleep(0)
        first = coroutine.running()
      end))
      async.await(async.create_task(function()
        second = coroutine.running()
        async.sleep(0)
      end))
      assert.is_true(rawequal(first, second))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(first) })
      assert.is_true(coroutine.close(first))
      assert.equal("goes on", async.await(async.create_task(function() return async.sleep(0, "goes on") end)))
    end)
  end)

  it("is resumed by the loop alone: nobody else gets through, and the task goes on", function()
    run(function()
      local co, event = nil, async.Event()
      local task = async.create_task(function()
        co = coroutine.running()
        event:wait()
        return "unharmed"
      end)
      settle()
      for _ = 1, 2 do
        local _, message = coroutine.resume(co)
        assert.equal("RuntimeError: this coroutine is a task's, only the event loop may resume it", message)
      end
      assert.equal("waiting", task:state())
      event:set()
      assert.equal("unharmed", async.await(task))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    end)
  end)

  it("closed from outside lets the task fail when its wait ends, or is cancelled", function()
    run(function()
      for _, ending in ipairs({
        { wait = function() async.sleep(0.002) end, finish = function() end },
        { wait = function() async.sleep(3600) end, finish = function(task) task:cancel() end },
        { wait = function() async.Event():wait() end, finish = function(task) task:cancel() end },
        { wait = function() async.Semaphore(0):acquire() end, finish = function(task) task:cancel() end },
      }) do
        local co, closed = nil, false
        local task = async.create_task(function()
          local _ <close> = helpers.defer(function() closed = true end)
          co = coroutine.running()
          ending.wait()
        end)
        settle()
        coroutine.close(co)
        helpers.collect_garbage()
        assert.is_true(closed)
        assert.equal("waiting", task:state())
        assert.is_string(task:waiting_on())
        ending.finish(task)
        assert.equal("cannot resume dead coroutine", failure_text(async.await, task))
        assert.equal("failed", task:state())
      end
    end)
  end)

  it("closed from outside in a gather, and cancelled before anything was collected, lets the task fail", function()
    run(function()
      local co
      local futures = { async.Future(), async.Future() }
      local task = async.create_task(function()
        co = coroutine.running()
        async.gather(table.unpack(futures))
      end)
      settle()
      collectgarbage("stop")
      coroutine.close(co)
      task:cancel()
      collectgarbage("restart")
      assert.equal("cannot resume dead coroutine", failure_text(async.await, task))
      assert.is_false(futures[1]:done())
    end)
  end)

  it("cannot be resumed or closed by the task itself, nor yield", function()
    run(function()
      local co = coroutine.running()
      assert.is_false((coroutine.resume(co)))
      assert.is_false((pcall(coroutine.close, co)))
      local text = failure_text(function()
        local nothing = coroutine.yield()
        return nothing
      end)
      assert.matches("coroutine.yield in a task", text, 1, true)
    end)
  end)
end)

describe("a deadline and a request from outside", function()
  it("of which the task swallows the first are one request each", function()
    run(function()
      local task = async.create_task(function()
        local scope = async.timeout(nil)
        local _ <close> = scope
        scope:reschedule(async.time())
        pcall(forever)
        return scope:expired(), async.current_task():cancelling()
      end)
      local expired, requests = async.await(task)
      assert.is_true(expired)
      assert.equal(1, requests)
      assert.equal(0, task:cancelling())
    end)
  end)
end)
