local async = require "luawait"
local fs = require "luawait.fs"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever, defer = helpers.test, helpers.settle, helpers.forever, helpers.defer

-- Runs body in a scope of this delay; it gets the scope.
local function in_scope(delay, body)
  local scope <close> = async.timeout(delay)
  return body(scope)
end

describe("timeout(delay, fn, ...)", function()
  it("calls any object that can be called, be its metatable hidden", function()
    run(function()
      local entries <close> = fs.scandir("docs")
      assert.equal("string", type(async.timeout(1, entries)))
      local object = setmetatable({}, { __metatable = "hidden", __call = function() return "ok" end })
      assert.equal("ok", async.timeout(1, object))
      local other = setmetatable({}, { __metatable = { __call = print } })
      assert.matches("function expected, got table", failure_text(async.timeout, 1, other))
    end)
  end)

  it("returns what fn(...) returns, in the same task", function()
    run(function()
      local me = async.current_task()
      local results = table.pack(async.timeout(3600, function(a, b, c)
        async.sleep(0)
        assert.is_true(rawequal(me, async.current_task()))
        return c, b, a, nil
      end, 1, nil, 3))
      assert.same({ n = 4, 3, nil, 1, nil }, results)
    end)
  end)

  it("raises TimeoutError when the time is over, and runs the cleanup first", function()
    run(function()
      local log = helpers.log()
      local kind = failure_kind(async.timeout, 0.005, function()
        local _ <close> = defer(function()
          async.sleep(0)
          log("cleanup")
        end)
        local err = failure(forever)
        log(err.name)
        error(err, 0)
      end)
      assert.equal("TimeoutError", kind)
      assert.equal("CancelledError cleanup", tostring(log))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("never ends too early", function()
    run(function()
      local start = async.time()
      failure(async.timeout, 0.02, forever)
      assert.is_true(async.time() - start >= 0.02)
    end)
  end)

  it("passes the error of fn on, the very same value", function()
    run(function()
      for _, value in ipairs({ async.ValueError("own"), {}, "text", 42 }) do
        assert.is_true(rawequal(value, failure(async.timeout, 3600, error, value, 0)))
      end
    end)
  end)

  it("knows no deadline with nil and math.huge", function()
    run(function()
      assert.equal("nil", async.timeout(nil, function() return async.sleep(0.001, "nil") end))
      assert.equal("huge", async.timeout(math.huge, function() return async.sleep(0.001, "huge") end))
    end)
  end)

  it("with zero or less interrupts the first wait, and nothing before it", function()
    run(function()
      for _, delay in ipairs({ 0, -1, -math.huge }) do
        assert.equal("at once", async.timeout(delay, function() return "at once" end))
        local reached = false
        assert.equal("TimeoutError", failure_kind(async.timeout, delay, function()
          reached = true
          forever()
        end))
        assert.is_true(reached)
      end
    end)
  end)

  -- In a process of its own, where nothing that a cancellation needs is in memory yet.
  it("interrupts where there is no memory", function()
    assert.equal("true\n", helpers.child_output([[
local hooks = require("luawait.core").testing
async.run(function()
  async.current_task():set_name("a task with a note")
  local future = async.Future()
  async.call_soon(hooks.fail_from_now, 1)
  pcall(async.timeout, 0, function() async.gather(future) end)
  hooks.stop_failing()
  print(future:cancelled())
end)]]))
  end)

  it("interrupts also where there is no memory for the message of a request that came before", function()
    assert.equal("CancelledError\n", helpers.child_output([[
local hooks = require("luawait.core").testing
print(select(2, pcall(async.run, function()
  local main, scope = async.current_task(), async.timeout(nil)
  local child = async.create_task(function()
    pcall(async.sleep, math.huge)
    async.await(async.create_task(function() async.sleep(math.huge) end))
  end)
  async.create_task(function()
    main:cancel("a message")
    async.sleep(0)
    async.sleep(0)
    async.call_soon(hooks.fail_from_now, 1)
    scope:reschedule(0)
  end)
  async.gather(child)
end)))]]))
  end)

  it("leaves fn its result when the deadline passes without a wait", function()
    run(function()
      local result = async.timeout(0.002, function()
        helpers.spin(0.01)
        return "result"
      end)
      assert.equal("result", result)
      async.sleep(0.005)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("leaves fn the result that came in the turn of the deadline", function()
    run(function()
      local fut = async.Future()
      async.call_soon(function()
        fut:set_result("in time")
        helpers.spin(0.01)
      end)
      assert.equal("in time", async.timeout(0.002, async.await, fut))
      async.sleep(0)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("cancels what fn awaits", function()
    run(function()
      local task, fut = async.create_task(forever), async.Future()
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, async.await, task))
      assert.is_true(task:cancelled())
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, async.gather, fut, forever))
      assert.is_true(fut:cancelled())
      settle()
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("raises what a failing cleanup raises instead", function()
    run(function()
      local err = failure(async.timeout, 0.002, function()
        local _ <close> = defer(function() error("cleanup broke", 0) end)
        forever()
      end)
      assert.equal("cleanup broke", err)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("returns the results of a body that swallowed the interruption", function()
    run(function()
      assert.equal("anyway", async.timeout(0.002, function()
        pcall(forever)
        return async.sleep(0.001, "anyway")
      end))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("can be used again and again in one task", function()
    run(function()
      for _ = 1, 20 do
        assert.equal("TimeoutError", failure_kind(async.timeout, 0.0005, forever))
        assert.equal("fine", async.timeout(3600, async.sleep, 0, "fine"))
      end
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("leaves no timer behind", function()
    local err = failure(async.run, function()
      async.timeout(3600, async.sleep, 0)
      failure(async.timeout, 3600, error, "x")
      in_scope(3600, function() async.sleep(0) end)
      in_scope(0.001, function(scope) scope:reschedule(async.time() + 3600) end)
      async.await(async.Future())
    end)
    assert.equal("DeadlockError", helpers.kind(err))
  end)

  it("keeps the program alive until the deadline", function()
    run(function() assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, forever)) end)
  end)

  it("checks its arguments", function()
    run(function()
      local expected = "bad argument #1 to 'timeout' (number expected, got string)"
      assert.matches(expected, failure_text(async.timeout, "x"), 1, true)
      assert.matches(expected, failure_text(async.timeout, "x", print), 1, true)
      assert.matches("bad argument #1 to 'timeout'", failure_text(async.timeout, 0 / 0, print), 1, true)
      assert.matches("bad argument #2 to 'timeout'", failure_text(async.timeout, 1, 42), 1, true)
      assert.matches("bad argument #1 to 'timeout_at'", failure_text(async.timeout_at, {}), 1, true)
      assert.matches("bad argument #2 to 'timeout_at'", failure_text(async.timeout_at, 1, 42), 1, true)
    end)
  end)

  it("needs a task", function()
    assert.equal("RuntimeError", failure_kind(async.timeout, 1))
    assert.equal("RuntimeError", failure_kind(async.timeout, 1, print))
  end)
end)

describe("timeout_at", function()
  it("takes a time of the loop's clock", function()
    run(function()
      assert.equal("in time", async.timeout_at(async.time() + 3600, async.sleep, 0, "in time"))
      assert.equal("TimeoutError", failure_kind(async.timeout_at, async.time() + 0.002, forever))
      assert.equal("TimeoutError", failure_kind(async.timeout_at, async.time() - 1, forever))
      assert.equal("no deadline", async.timeout_at(nil, async.sleep, 0, "no deadline"))
    end)
  end)

  it("is a scope without a function", function()
    run(function()
      local when = async.time() + 3600
      local scope <close> = async.timeout_at(when)
      assert.near(when, scope:when(), 1e-6)
    end)
  end)
end)

describe("a timeout scope", function()
  it("raises TimeoutError out of its block, in every way of leaving it late", function()
    run(function()
      for _, leave in ipairs({
        function() forever() end,
        function() return forever() end,
        function() async.await(async(forever)()) end,
      }) do
        local scope
        local kind = failure_kind(in_scope, 0.002, function(s)
          scope = s
          assert.is_false(s:expired())
          leave()
        end)
        assert.equal("TimeoutError", kind)
        assert.is_true(scope:expired())
      end
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("changes nothing when it is left in time, in whatever way", function()
    run(function()
      local scopes = {}
      assert.equal("returned", in_scope(0.01, function(s)
        scopes[1] = s
        return "returned"
      end))
      assert.equal("error", failure(in_scope, 0.01, function(s)
        scopes[2] = s
        error("error", 0)
      end))
      for i = 3, 4 do
        local s <close> = async.timeout(0.01)
        scopes[i] = s
        if i == 4 then break end
      end
      async.sleep(0.03)
      for _, scope in ipairs(scopes) do assert.is_false(scope:expired()) end
      assert.equal(4, #scopes)
    end)
  end)

  it("tells its deadline with when()", function()
    run(function()
      in_scope(3600, function(scope)
        local left = scope:when() - async.time()
        assert.is_true(left > 3500 and left <= 3600)
        local when = async.time() + 100
        scope:reschedule(when)
        assert.near(when, scope:when(), 1e-6)
        scope:reschedule(nil)
        assert.is_nil(scope:when())
      end)
      in_scope(nil, function(scope) assert.is_nil(scope:when()) end)
    end)
  end)

  it("can be rescheduled to later", function()
    run(function()
      assert.equal("went on", in_scope(0.01, function(scope)
        scope:reschedule(async.time() + 3600)
        async.sleep(0.03)
        return scope:expired() or "went on"
      end))
    end)
  end)

  it("can be rescheduled to sooner, and into the past", function()
    run(function()
      for _, offset in ipairs({ 0.001, 0, -1 }) do
        local kind = failure_kind(in_scope, 3600, function(scope)
          scope:reschedule(async.time() + offset)
          forever()
        end)
        assert.equal("TimeoutError", kind)
      end
    end)
  end)

  it("can be given a deadline later, and freed of it", function()
    run(function()
      assert.equal("TimeoutError", failure_kind(in_scope, nil, function(scope)
        scope:reschedule(async.time() + 0.002)
        forever()
      end))
      assert.equal("free", in_scope(0.005, function(scope)
        scope:reschedule(nil)
        return async.sleep(0.02, "free")
      end))
    end)
  end)

  for _, clock in ipairs({ "virtual", "real" }) do
    it("that its task did not leave does nothing at its deadline, on a " .. clock .. " clock", function()
      run(function()
        local scope
        local task = async.create_task(function() scope = async.timeout(0.01) end)
        async.sleep(0.02)
        assert.is_false(scope:expired())
        assert.equal(0, task:cancelling())
      end, { clock = clock })
    end)
  end

  it("can be rescheduled by another task", function()
    run(function()
      local scope
      async.create_task(function() scope:reschedule(async.time()) end)
      assert.equal("TimeoutError", failure_kind(in_scope, nil, function(s)
        scope = s
        forever()
      end))
    end)
  end)

  it("cannot be rescheduled when it expired or was left", function()
    run(function()
      local scope
      in_scope(3600, function(s) scope = s end)
      assert.equal("RuntimeError", failure_kind(scope.reschedule, scope, async.time() + 1))
      failure(in_scope, 0.002, function(s)
        scope = s
        pcall(forever)
        assert.equal("RuntimeError", failure_kind(s.reschedule, s, async.time() + 1))
        assert.equal("RuntimeError", failure_kind(s.reschedule, s, nil))
      end)
      assert.equal("RuntimeError", failure_kind(scope.reschedule, scope, async.time() + 1))
      assert.is_true(scope:expired())
    end)
  end)

  it("checks the arguments of reschedule", function()
    run(function()
      in_scope(3600, function(scope)
        local when = scope:when()
        assert.matches("bad argument #1 to 'reschedule'", failure_text(function() scope:reschedule("x") end), 1, true)
        assert.matches("bad argument #1 to 'reschedule'", failure_text(function() scope:reschedule(0 / 0) end), 1, true)
        assert.equal(when, scope:when())
      end)
    end)
  end)

  it("belongs to the task that entered it: another one cannot leave it", function()
    run(function()
      local scope
      local owner = async.create_task(function()
        local _ <close> = async.timeout(3600)
        scope = _
        async.sleep(3600)
      end)
      settle()
      local function leave()
        local _ <close> = scope -- luacheck: ignore
      end
      assert.matches("left in another task", failure_text(leave), 1, true)
      owner:cancel()
      assert.equal("CancelledError", failure_kind(async.await, owner))
    end)
  end)

  it("raises nothing when the body swallowed the interruption, and expired() tells", function()
    run(function()
      local scope
      in_scope(0.002, function(s)
        scope = s
        pcall(forever)
        async.sleep(0.002)
      end)
      assert.is_true(scope:expired())
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("is described by tostring", function()
    run(function()
      in_scope(3600, function(scope) assert.matches("^<Timeout", tostring(scope)) end)
    end)
  end)
end)

describe("nested timeouts", function()
  it("inner first: the inner one raises, the outer one goes on", function()
    run(function()
      local outer
      local result = in_scope(3600, function(s)
        outer = s
        assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, forever))
        return async.sleep(0, "went on")
      end)
      assert.equal("went on", result)
      assert.is_false(outer:expired())
    end)
  end)

  it("outer first: the inner one passes CancelledError on, the outer one raises", function()
    run(function()
      local inside, inner
      local kind = failure_kind(async.timeout, 0.002, function()
        local err = failure(in_scope, 3600, function(s)
          inner = s
          forever()
        end)
        inside = err.name
        error(err, 0)
      end)
      assert.equal("CancelledError", inside)
      assert.equal("TimeoutError", kind)
      assert.is_false(inner:expired())
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("both at once: one TimeoutError comes out, no request is left", function()
    run(function()
      local when = async.time() + 0.005
      local kind = failure_kind(async.timeout_at, when, function() async.timeout_at(when, forever) end)
      assert.equal("TimeoutError", kind)
      async.sleep(0)
      assert.equal(0, async.current_task():cancelling())
    end)
  end)

  it("deeply: the outermost deadline ends all of them", function()
    run(function()
      local function nest(depth)
        if depth == 0 then forever() end
        return async.timeout(3600 - depth, nest, depth - 1)
      end
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, nest, 30))
      assert.equal(0, async.current_task():cancelling())
    end)
  end)
end)

describe("a timeout and a cancellation from outside", function()
  it("raise CancelledError when only the cancellation came", function()
    run(function()
      local scope
      local task = async.create_task(function()
        in_scope(3600, function(s)
          scope = s
          forever()
        end)
      end)
      settle()
      task:cancel("outside")
      assert.equal("outside", failure(async.await, task).message)
      assert.is_true(task:cancelled())
      assert.is_false(scope:expired())
    end)
  end)

  it("raise CancelledError when both came before the task could run", function()
    run(function()
      local task = async.create_task(function() async.timeout(0.002, forever) end)
      settle()
      helpers.spin(0.01)
      task:cancel("outside")
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_true(task:cancelled())
    end)
  end)

  it("raise CancelledError when the cancellation comes in the cleanup of the timeout", function()
    run(function()
      local cleaning = async.Event()
      local task = async.create_task(function()
        async.timeout(0.002, function()
          local _ <close> = defer(function()
            cleaning:set()
            forever()
          end)
          forever()
        end)
      end)
      cleaning:wait()
      task:cancel("outside")
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_true(task:cancelled())
    end)
  end)

  it("do not mix up after a swallowed cancellation", function()
    run(function()
      local task = async.create_task(function()
        pcall(forever)
        return failure_kind(async.timeout, 0.002, forever), async.current_task():cancelling()
      end)
      settle()
      task:cancel()
      local kind, requests = async.await(task)
      assert.equal("TimeoutError", kind)
      assert.equal(1, requests)
    end)
  end)
end)
