local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

local function counted(...)
  return { n = select("#", ...), ... }
end

describe("a Future", function()
  it("has no result at first", function()
    run(function()
      local fut = async.Future()
      assert.is_false(fut:done())
      assert.is_false(fut:cancelled())
      assert.equal("InvalidStateError", failure_kind(fut.result, fut))
      assert.equal("InvalidStateError", failure_kind(fut.exception, fut))
    end)
  end)

  it("takes any number of results, with nils", function()
    run(function()
      for _, values in ipairs({ counted(), counted(nil), counted(1), counted("a", nil, "c", nil) }) do
        local fut = async.Future()
        fut:set_result(table.unpack(values, 1, values.n))
        assert.is_true(fut:done())
        assert.is_false(fut:cancelled())
        assert.is_nil(fut:exception())
        assert.same(values, counted(fut:result()))
        assert.same(values, counted(async.await(fut)))
      end
    end)
  end)

  it("takes many results", function()
    run(function()
      local fut = async.Future()
      fut:set_result(table.unpack({}, 1, 3000))
      assert.equal(3000, select("#", fut:result()))
    end)
  end)

  it("takes any value as its error", function()
    run(function()
      for _, value in ipairs({ async.ValueError("object"), {}, "text", 42, io.stdout, print, true }) do
        local fut = async.Future()
        fut:set_exception(value)
        assert.is_true(fut:done())
        assert.is_true(rawequal(value, fut:exception()))
        assert.is_true(rawequal(value, failure(fut.result, fut)))
        assert.is_true(rawequal(value, failure(async.await, fut)))
      end
    end)
  end)

  it("is set once", function()
    run(function()
      local by_result, by_error, by_cancel = async.Future(), async.Future(), async.Future()
      by_result:set_result(1)
      by_error:set_exception("first")
      by_cancel:cancel()
      for _, fut in ipairs({ by_result, by_error, by_cancel }) do
        assert.equal("InvalidStateError", failure_kind(fut.set_result, fut, 2))
        assert.equal("InvalidStateError", failure_kind(fut.set_exception, fut, "second"))
        assert.is_false(fut:cancel())
      end
      assert.matches("error value expected, got nil", failure_text(async.Future().set_exception, async.Future(), nil))
      assert.equal(1, by_result:result())
      assert.equal("first", by_error:exception())
      assert.is_true(by_cancel:cancelled())
    end)
  end)

  it("wakes its waiters in the order in which they came", function()
    run(function()
      local log, fut = helpers.log(), async.Future()
      for i = 1, 4 do
        async.create_task(function() log(i .. async.await(fut)) end)
      end
      settle()
      fut:set_result("!")
      assert.equal("", tostring(log))
      settle()
      assert.equal("1! 2! 3! 4!", tostring(log))
    end)
  end)

  it("gives the same error to each waiter", function()
    run(function()
      local err, fut, tasks = async.ValueError("shared"), async.Future(), {}
      for i = 1, 3 do tasks[i] = async.create_task(function() async.await(fut) end) end
      settle()
      fut:set_exception(err)
      for i = 1, 3 do assert.is_true(rawequal(err, failure(async.await, tasks[i]))) end
    end)
  end)

  it("raises CancelledError with the message when it was cancelled", function()
    run(function()
      local fut, seen = async.Future(), nil
      local task = async.create_task(function()
        seen = failure(async.await, fut)
        return async.current_task():cancelling()
      end)
      settle()
      assert.is_true(fut:cancel("no longer needed"))
      assert.is_false(fut:cancel("again"))
      assert.equal(0, async.await(task))
      assert.is_true(fut:done())
      assert.is_true(fut:cancelled())
      assert.equal("CancelledError: no longer needed", tostring(seen))
      for _, ask in ipairs({ fut.result, fut.exception, async.await }) do
        assert.equal("CancelledError: no longer needed", failure_text(ask, fut))
      end
    end)
  end)

  it("raises CancelledError without a message when none was given", function()
    run(function()
      local fut = async.Future()
      fut:cancel()
      local err = failure(async.await, fut)
      assert.equal("CancelledError", tostring(err))
      assert.equal("", err.message)
    end)
  end)

  it("raises CancelledError outside a task too", function()
    local fut = async.Future()
    fut:cancel()
    assert.equal("CancelledError", helpers.failure_kind(fut.result, fut))
  end)

  it("is collected when nobody refers to it", function()
    run(function()
      local weak = setmetatable({}, { __mode = "k" })
      weak[async.Future()] = true
      helpers.collect_garbage()
      assert.is_nil(next(weak))
    end)
  end)

  it("tells its state in tostring", function()
    run(function()
      local pending, done, failed, cancelled = async.Future(), async.Future(), async.Future(), async.Future()
      done:set_result(1)
      failed:set_exception("x")
      cancelled:cancel()
      assert.is_truthy(failed:exception())
      for word, fut in pairs({ pending = pending, finished = done, failed = failed, cancelled = cancelled }) do
        assert.matches("^<Future " .. word, tostring(fut))
      end
    end)
  end)

  it("checks the object that a method is called on", function()
    run(function()
      local fut = async.Future()
      assert.matches("bad argument #1", failure_text(fut.set_result, {}, 1), 1, true)
      assert.matches("bad argument #1", failure_text(fut.done, io.stdout), 1, true)
      assert.matches("bad argument #1", failure_text(fut.set_result, async.current_task(), 1), 1, true)
      assert.is_false(pcall(fut.cancel))
    end)
  end)
end)

describe("done callbacks", function()
  it("get the future, on the loop, in the order in which they were added", function()
    run(function()
      local log, fut, arguments, task = helpers.log(), async.Future(), nil, nil
      fut:add_done_callback(function(...)
        arguments, task = counted(...), async.current_task()
        log("a")
      end)
      fut:add_done_callback(function() log("b") end)
      fut:set_result(1)
      log("set")
      settle()
      assert.equal("set a b", tostring(log))
      assert.equal(1, arguments.n)
      assert.is_true(rawequal(fut, arguments[1]))
      assert.is_nil(task)
    end)
  end)

  it("come also for an error and for a cancellation", function()
    run(function()
      local log = helpers.log()
      local failed, cancelled = async.Future(), async.Future()
      failed:add_done_callback(function(fut) log(fut:exception()) end)
      cancelled:add_done_callback(function(fut) log(fut:cancelled()) end)
      failed:set_exception("broken")
      cancelled:cancel()
      settle()
      assert.equal("broken true", tostring(log))
    end)
  end)

  it("come soon, not at once, when the future is done already", function()
    run(function()
      local log, fut = helpers.log(), async.Future()
      fut:set_result(1)
      fut:add_done_callback(function() log("callback") end)
      log("added")
      settle()
      assert.equal("added callback", tostring(log))
    end)
  end)

  it("are called as often as they were added, and taken back all at once", function()
    run(function()
      local log, first, second = helpers.log(), async.Future(), async.Future()
      local function twice() log("twice") end
      local function other() log("other") end
      for _, fut in ipairs({ first, second }) do
        fut:add_done_callback(twice)
        fut:add_done_callback(other)
        fut:add_done_callback(twice)
      end
      assert.equal(2, second:remove_done_callback(twice))
      assert.equal(0, second:remove_done_callback(twice))
      first:set_result()
      settle()
      log("-")
      second:set_result()
      settle()
      assert.equal("twice other twice - other", tostring(log))
    end)
  end)

  it("that fail are reported, and the others are called", function()
    local called, fut = false, nil
    local reports, ok = helpers.collect(function()
      fut = async.Future()
      fut:add_done_callback(function() error("in a callback", 0) end)
      fut:add_done_callback(function() called = true end)
      fut:set_result(1)
      settle()
    end)
    assert.is_true(ok)
    assert.is_true(called)
    assert.equal(1, #reports)
    assert.equal("in a callback", reports[1].error)
  end)

  it("keep nothing alive after the call", function()
    run(function()
      local weak, fut = setmetatable({}, { __mode = "k" }), async.Future()
      local function add()
        local big = {}
        weak[big] = true
        fut:add_done_callback(function() return big end)
      end
      add()
      fut:set_result(1)
      settle()
      helpers.collect_garbage()
      assert.is_nil(next(weak))
    end)
  end)

  it("must be functions", function()
    run(function()
      local fut = async.Future()
      local expected = "bad argument #1 to 'add_done_callback' (function expected, got number)"
      assert.matches(expected, failure_text(function() fut:add_done_callback(42) end), 1, true)
      fut:set_result()
      assert.matches(expected, failure_text(function() fut:add_done_callback(42) end), 1, true)
    end)
  end)

  it("may set further futures, and start tasks", function()
    run(function()
      local first, second = async.Future(), async.Future()
      first:add_done_callback(function(fut)
        local value = fut:result()
        async.create_task(function() second:set_result(value + 1) end)
      end)
      first:set_result(1)
      assert.equal(2, async.await(second))
    end)
  end)
end)
