local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure_kind, failure_text = helpers.failure_kind, helpers.failure_text
local run, settle = helpers.run, helpers.settle

describe("sleep", function()
  it("returns its further arguments", function()
    run(function()
      assert.same({ n = 4, "x", nil, "z", nil }, table.pack(async.sleep(0, "x", nil, "z", nil)))
      assert.same({ n = 2, nil, 2 }, table.pack(async.sleep(0.001, nil, 2)))
      assert.same({ n = 0 }, table.pack(async.sleep(0.001)))
      assert.equal(2000, select("#", async.sleep(0, table.unpack({}, 1, 2000))))
      assert.equal(70000, select("#", async.sleep(0, table.unpack({}, 1, 70000))))
    end)
  end)

  it("never ends too early", function()
    run(function()
      local early, tasks = 0, {}
      for i = 1, 200 do
        tasks[i] = async.create_task(function()
          local delay = (i * 37 % 200) * 0.0001
          local start = async.time()
          async.sleep(delay)
          if async.time() - start < delay then early = early + 1 end
        end)
      end
      async.wait(tasks)
      assert.equal(0, early)
    end)
  end)

  it("with zero or less yields once: ready tasks take turns", function()
    for _, delay in ipairs({ 0, -1, -math.huge }) do
      run(function()
        local log = helpers.log()
        local function worker(name)
          return function()
            for i = 1, 3 do
              log(name .. i)
              async.sleep(delay)
            end
          end
        end
        async.gather(worker("a"), worker("b"), worker("c"))
        assert.equal("a1 b1 c1 a2 b2 c2 a3 b3 c3", tostring(log))
      end)
    end
  end)

  it("lets timers fire while tasks and callbacks are always ready", function()
    run(function()
      local fired = false
      async.create_task(function()
        while not fired do async.sleep(0) end
      end)
      local function again()
        if not fired then async.call_soon(again) end
      end
      again()
      async.call_later(0.005, function() fired = true end)
      while not fired do async.sleep(0) end
    end)
  end)

  it("with equal deadlines ends in the order of the calls, with others by deadline", function()
    run(function()
      local log, tasks = helpers.log(), {}
      local base = async.time() + 0.01
      for i, at in ipairs({ 3, 1, 2, 1, 3, 1 }) do
        tasks[i] = async.Future()
        async.call_at(base + at * 0.001, function()
          log(at .. "/" .. i)
          tasks[i]:set_result()
        end)
      end
      async.gather(table.unpack(tasks))
      assert.equal("1/2 1/4 1/6 2/3 3/1 3/5", tostring(log))
    end)
  end)

  it("checks its arguments", function()
    run(function()
      assert.matches("bad argument #1 to 'sleep' (number expected, got string)",
        failure_text(async.sleep, "x"), 1, true)
      assert.matches("bad argument #1 to 'sleep' (number expected, got no value)", failure_text(async.sleep), 1, true)
      assert.matches("bad argument #1 to 'sleep' (number expected, got table)", failure_text(async.sleep, {}), 1, true)
      assert.matches("bad argument #1 to 'sleep'", failure_text(async.sleep, 0 / 0), 1, true)
    end)
  end)

  it("names the function and says where it was called", function()
    run(function()
      local body = load("local async = ...\n\nasync.sleep({})", "@demo.lua")
      assert.equal("demo.lua:3: bad argument #1 to 'sleep' (number expected, got table)", failure_text(body, async))
    end)
  end)

  it("takes numbers so large that no clock gets there", function()
    run(function()
      local tasks = {}
      for i, delay in ipairs({ math.huge, 1e300, 1e18, 1e9, math.maxinteger }) do
        tasks[i] = async.create_task(function() async.sleep(delay) end)
      end
      async.sleep(0.002)
      for _, task in ipairs(tasks) do assert.equal("waiting", task:state()) end
    end)
  end)
end)

describe("time", function()
  it("never goes back, and goes on while nothing waits", function()
    run(function()
      local last = async.time()
      for _ = 1, 1000 do
        local now = async.time()
        assert.is_true(now >= last)
        last = now
      end
      local start, clock = async.time(), os.clock()
      repeat until os.clock() - clock > 0.005
      assert.is_true(async.time() > start)
    end)
  end)
end)

describe("call_soon", function()
  it("calls in order, with the arguments, on the loop and in no task", function()
    run(function()
      local log, arguments, task = helpers.log(), nil, "none"
      async.call_soon(function(...)
        arguments, task = table.pack(...), async.current_task()
        log("first")
      end, 1, nil, 3, nil)
      async.call_soon(function() log("second") end)
      log("scheduled")
      settle()
      assert.equal("scheduled first second", tostring(log))
      assert.same({ n = 4, 1, nil, 3, nil }, arguments)
      assert.is_nil(task)
    end)
  end)

  it("takes its turn among the tasks", function()
    run(function()
      local log = helpers.log()
      async.create_task(function() log("a") end)
      async.call_soon(function() log("b") end)
      async.create_task(function() log("c") end)
      settle()
      assert.equal("a b c", tostring(log))
    end)
  end)

  it("from a callback comes after what was ready then", function()
    run(function()
      local log = helpers.log()
      async.call_soon(function()
        log("a")
        async.call_soon(function() log("c") end)
      end)
      async.call_soon(function() log("b") end)
      settle()
      assert.equal("a b c", tostring(log))
    end)
  end)

  it("may start, wake and cancel tasks", function()
    run(function()
      local fut, forever = async.Future(), async.create_task(helpers.forever)
      async.call_soon(function()
        fut:set_result(async.create_task(function() return "started" end))
        forever:cancel()
      end)
      assert.equal("started", async.await(async.await(fut)))
      assert.equal("CancelledError", failure_kind(async.await, forever))
    end)
  end)
end)

describe("call_later and call_at", function()
  it("call by deadline, not by order of creation, and with the arguments", function()
    run(function()
      local log, base = helpers.log(), async.time() + 0.005
      async.call_at(base + 0.003, function(...) log(table.concat({ ... }, "+")) end, "late", "arguments")
      async.call_at(base + 0.001, function() log("early") end)
      async.call_at(base + 0.002, function() log("middle") end)
      async.sleep(0.02)
      assert.equal("early middle late+arguments", tostring(log))
    end)
  end)

  it("never call too early, and in no task", function()
    run(function()
      local early, task = 0, "none"
      for i = 1, 50 do
        local when = async.time() + i * 0.0003
        async.call_at(when, function()
          if async.time() < when then early = early + 1 end
          task = async.current_task()
        end)
      end
      async.sleep(0.03)
      assert.equal(0, early)
      assert.is_nil(task)
    end)
  end)

  it("call soon, not at once, for a time that is over", function()
    run(function()
      local log = helpers.log()
      async.call_later(0, function() log("zero") end)
      async.call_later(-1, function() log("negative") end)
      async.call_at(async.time() - 1, function() log("past") end)
      log("scheduled")
      async.sleep(0.005)
      assert.equal("scheduled", log[1])
      assert.equal(4, #log)
    end)
  end)

  it("fire in the order of thousands of deadlines", function()
    run(function()
      local base, last, ordered, count = async.time() + 0.02, 0, true, helpers.scale(5000)
      local done, left = async.Future(), count
      for i = 1, count do
        local offset = (i * 7919 % 5003) * 1e-6
        async.call_at(base + offset, function()
          ordered, last, left = ordered and offset >= last, offset, left - 1
          if left == 0 then done:set_result() end
        end)
      end
      async.await(done)
      assert.is_true(ordered)
    end)
  end)

  it("may never come: math.huge", function()
    run(function()
      local handle = async.call_later(math.huge, error, "not reached")
      async.sleep(0.002)
      assert.is_false(handle:cancelled())
    end)
  end)
end)

describe("a Handle", function()
  it("takes the call back", function()
    run(function()
      local called = 0
      local function count() called = called + 1 end
      local handles = {
        async.call_soon(count), async.call_later(0.001, count), async.call_at(async.time(), count),
      }
      for _, handle in ipairs(handles) do
        assert.is_false(handle:cancelled())
        handle:cancel()
        assert.is_true(handle:cancelled())
        handle:cancel()
      end
      async.sleep(0.005)
      assert.equal(0, called)
    end)
  end)

  it("tells when it is due", function()
    run(function()
      local at = async.time() + 100
      assert.near(at, async.call_at(at, print):when(), 1e-6)
      local later = async.call_later(100, print)
      assert.is_true(later:when() >= at and later:when() < at + 50)
    end)
  end)

  it("may be cancelled by an earlier callback of the same turn", function()
    run(function()
      local handle
      async.call_soon(function() handle:cancel() end)
      handle = async.call_soon(error, "not reached")
      settle()
      local at = async.time() + 0.002
      async.call_at(at, function() handle:cancel() end)
      handle = async.call_at(at, error, "not reached")
      async.sleep(0.01)
      assert.is_true(handle:cancelled())
    end)
  end)

  it("does nothing when it is cancelled after its call, or in it", function()
    run(function()
      local called, handle = 0, nil
      handle = async.call_soon(function()
        called = called + 1
        handle:cancel()
      end)
      settle()
      handle:cancel()
      settle()
      assert.equal(1, called)
    end)
  end)

  it("need not be kept: the call comes all the same", function()
    run(function()
      local called = 0
      async.call_soon(function() called = called + 1 end)
      async.call_later(0.001, function() called = called + 1 end)
      helpers.collect_garbage()
      async.sleep(0.01)
      assert.equal(2, called)
    end)
  end)

  it("lets the function go when it was cancelled or called", function()
    run(function()
      local weak = setmetatable({}, { __mode = "k" })
      local function call_later(delay)
        local big = {}
        weak[big] = true
        return async.call_later(delay, function() return big end)
      end
      local handles = { call_later(3600), call_later(0) }
      handles[1]:cancel()
      async.sleep(0.002)
      helpers.collect_garbage()
      assert.is_nil(next(weak))
      assert.is_true(handles[1]:cancelled())
    end)
  end)

  it("is described by tostring", function()
    run(function()
      assert.matches("^<Handle", tostring(async.call_soon(print)))
      local object = setmetatable({}, { __call = print })
      local handle = async.call_soon(object)
      assert.matches("^<Handle .*table", tostring(handle))
      handle:cancel()
    end)
  end)
end)

describe("the arguments of call_soon, call_later and call_at", function()
  it("are checked", function()
    run(function()
      for _, case in ipairs({
        { "bad argument #1 to 'call_soon' (function expected, got number)", async.call_soon, 42 },
        { "bad argument #1 to 'call_soon'", async.call_soon },
        { "bad argument #1 to 'call_later' (number expected, got string)", async.call_later, "x", print },
        { "bad argument #1 to 'call_later'", async.call_later, 0 / 0, print },
        { "bad argument #2 to 'call_later' (function expected", async.call_later, 1 },
        { "bad argument #1 to 'call_at' (number expected, got nil)", async.call_at, nil, print },
        { "bad argument #2 to 'call_at' (function expected, got table)", async.call_at, 1, {} },
      }) do
        assert.matches(case[1], failure_text(table.unpack(case, 2, 4)), 1, true)
      end
    end)
  end)

  it("do not help without a running loop", function()
    assert.equal("RuntimeError", failure_kind(async.call_soon, print))
    assert.equal("RuntimeError", failure_kind(async.call_later, 0, print))
    assert.equal("RuntimeError", failure_kind(async.call_at, 0, print))
  end)
end)
