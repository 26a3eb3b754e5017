local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.run, helpers.settle

-- Calls back at the next turn of the loop, with what it was given.
local function soon(...)
  local args = table.pack(...)
  async.call_soon(args[args.n], table.unpack(args, 1, args.n - 1))
end

describe("from_callback", function()
  it("returns what the callback is called with, all of it", function()
    run(function()
      assert.same({ n = 4, "x", nil, "z", nil }, table.pack(async.from_callback(soon, "x", nil, "z", nil)))
      assert.same({ n = 0 }, table.pack(async.from_callback(soon)))
      assert.same({ n = 2, nil, "an error as it is" }, table.pack(async.from_callback(soon, nil, "an error as it is")))
    end)
  end)

  it("passes the callback as the last argument, behind nils too", function()
    run(function()
      async.from_callback(function(...)
        assert.equal(4, select("#", ...))
        local a, b, c, callback = ...
        assert.same({ n = 3, 1, nil, nil }, table.pack(a, b, c))
        callback()
      end, 1, nil, nil)
    end)
  end)

  it("suspends its task alone, and calls the function in that task", function()
    run(function()
      local log, me = helpers.log(), async.current_task()
      async.create_task(function() log("other") end)
      async.from_callback(function(callback)
        log(rawequal(me, async.current_task()) and "mine" or "another's")
        async.call_later(0.001, callback)
      end)
      log("back")
      assert.equal("mine other back", tostring(log))
    end)
  end)

  it("says which function its task waits for", function()
    run(function()
      local function keep(callback) assert.is_function(callback) end
      for expected, args in pairs({
        ["a callback of select"] = { select, "#" },
        ["a callback of [C]"] = { coroutine.wrap(keep) },
        ["a callback of spec/core/callback_spec.lua:"] = { keep },
      }) do
        local task = async.create_task(function() async.from_callback(table.unpack(args)) end)
        settle()
        assert.equal(expected, task:waiting_on():sub(1, #expected))
        task:cancel()
        settle()
      end
    end)
  end)

  it("takes anything that can be called", function()
    run(function()
      local object = setmetatable({}, { __call = function(_, value, callback) callback(value) end })
      assert.equal("x", async.from_callback(object, "x"))
    end)
  end)

  it("needs no other turn of the loop when the callback is called before the function returns", function()
    run(function()
      local log = helpers.log()
      async.call_soon(log, "turn")
      local value = async.from_callback(function(callback) callback("at once") end)
      log(value)
      assert.equal("at once", tostring(log))
      settle()
    end)
  end)

  it("keeps the first of two calls", function()
    run(function()
      local again
      assert.equal("first", async.from_callback(function(callback)
        again = callback
        callback("first")
        callback("second")
      end))
      assert.is_nil(again("third"))
    end)
  end)

  it("lets the function wait, and the callback come meanwhile", function()
    run(function()
      assert.equal("early", async.from_callback(function(callback)
        async.call_soon(callback, "early")
        settle()
      end))
      assert.equal("late", async.from_callback(function(callback)
        settle()
        async.call_soon(callback, "late")
      end))
    end)
  end)

  it("raises what the function raises, the very same value", function()
    run(function()
      local problem = {}
      local late
      assert.is_true(rawequal(problem, failure(async.from_callback, function(callback)
        late = callback
        error(problem)
      end)))
      assert.is_nil(late("nobody waits"))
      assert.is_true(rawequal(problem, failure(async.from_callback, function(callback)
        callback("a result")
        error(problem)
      end)))
    end)
  end)

  it("raises the problem that the function returns with nil or false, unless it has called back", function()
    run(function()
      local problem = {}
      assert.is_true(rawequal(problem, failure(async.from_callback, function() return nil, problem end)))
      assert.is_true(rawequal(problem, failure(async.from_callback, function() return false, problem, 22 end)))
      assert.equal("well", async.from_callback(function(callback)
        callback("well")
        return nil, "not so"
      end))
      assert.equal("x", async.from_callback(function(callback)
        soon("x", callback)
        return nil
      end))
      assert.equal("x", async.from_callback(function(callback)
        soon("x", callback)
        return "a request", "its number"
      end))
    end)
  end)

  it("can be cancelled, and the callback then does nothing", function()
    run(function()
      local late
      local task = async.create_task(function() async.from_callback(function(callback) late = callback end) end)
      settle()
      assert.equal("a callback of spec/core/callback_spec.lua", task:waiting_on():match("^[^:]*"))
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_nil(late("too late"))
      settle()
    end)
  end)

  it("can be given a deadline", function()
    run(function()
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, async.from_callback, function() end))
    end)
  end)

  it("keeps the result over a deadline that comes in the same turn", function()
    run(function()
      local task = async.create_task(function()
        return async.wait_for(function() return async.from_callback(async.call_later, 0.001) end, 60)
      end)
      async.await(task)
      assert.equal("done", task:state())
    end)
  end)

  it("ends the run with DeadlockError, which names the function, when the callback cannot come any more", function()
    local function never() end
    local line = debug.getinfo(never, "S").linedefined
    local err = failure(async.run, function() async.from_callback(never) end)
    assert.equal("DeadlockError", err.name)
    assert.matches(("waits for: a callback of spec/core/callback_spec.lua:%d"):format(line), err.message, 1, true)
    assert.matches("a callback of rawequal",
      failure(async.run, function() async.from_callback(rawequal, 1, 2) end).message, 1, true)
  end)

  it("lets go of everything when the callback is dropped", function()
    local kept = setmetatable({}, { __mode = "k" })
    helpers.collect(function()
      local task = async.create_task(function()
        local argument = {}
        kept[argument] = true
        async.from_callback(function() end, argument)
      end)
      settle()
      task:cancel()
      settle()
    end)
    helpers.collect_garbage()
    assert.is_nil(next(kept))
  end)

  it("checks its argument, and where it is called, before it calls anything", function()
    assert.matches("bad argument #1 to 'from_callback' (function expected, got nil)",
      failure_text(async.from_callback), 1, true)
    local called = false
    local function note() called = true end
    assert.matches("from_callback outside a task", failure_text(async.from_callback, note), 1, true)
    run(function()
      assert.matches("std.coroutine", failure_text(coroutine.wrap(function() async.from_callback(note) end)), 1, true)
    end)
    assert.is_false(called)
  end)
end)
