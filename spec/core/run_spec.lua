local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local defer, collect, settle, forever = helpers.defer, helpers.collect, helpers.settle, helpers.forever

local function counted(...)
  return { n = select("#", ...), ... }
end

describe("async.run", function()
  it("returns all results of the main task, with nils", function()
    assert.same({ n = 4, 1, nil, 3, nil }, counted(async.run(function() return 1, nil, 3, nil end)))
    assert.same({ n = 0 }, counted(async.run(function() end)))
  end)

  it("returns many results", function()
    local results = counted(async.run(function() return table.unpack({}, 1, 5000) end))
    assert.equal(5000, results.n)
  end)

  it("takes an async function's coroutine, a plain function, or an object with __await", function()
    local double = async(function(n) return n * 2 end)
    local object = setmetatable({ value = 7 }, { __await = function(self)
      async.sleep(0)
      return self.value, "awaited"
    end })
    assert.equal(42, async.run(double(21)))
    assert.equal("plain", async.run(function() return "plain" end))
    assert.same({ n = 2, 7, "awaited" }, counted(async.run(object)))
  end)

  it("calls a plain function without arguments", function()
    assert.equal(0, async.run(function(...) return select("#", ...) end))
  end)

  it("raises the error of the main task, the very same value", function()
    for _, value in ipairs({ async.ValueError("object"), {}, "text", 42, print, io.stdout, true }) do
      local err = failure(async.run, function()
        async.sleep(0)
        error(value, 0)
      end)
      assert.is_true(rawequal(value, err))
    end
  end)

  it("can be used again after a failure", function()
    failure(async.run, function() error("first") end)
    failure(async.run, function() async.await(async.Future()) end)
    assert.equal("fine", async.run(function() return "fine" end))
  end)

  it("gives the main task a fresh loop each time", function()
    for _ = 1, 2 do
      local name, count = async.run(function()
        async.create_task(forever)
        return async.current_task():get_name(), #async.all_tasks()
      end)
      assert.equal("Task-1", name)
      assert.equal(2, count)
    end
    assert.equal(1, async.run(function() return #async.all_tasks() end))
  end)

  it("cannot be called in a running loop, which goes on", function()
    local expected = "RuntimeError: async.run() cannot be called from a running event loop"
    local from_task, from_callback
    local after = async.run(function()
      from_task = failure_text(async.run, function() end)
      async.call_soon(function() from_callback = failure_text(async.run, function() end) end)
      settle()
      return "went on"
    end)
    assert.equal(expected, from_task)
    assert.equal(expected, from_callback)
    assert.equal("went on", after)
  end)

  it("can be called in a coroutine", function()
    local co = coroutine.wrap(function()
      local value = async.run(function()
        async.sleep(0.001)
        return "inside"
      end)
      coroutine.yield(value)
    end)
    assert.equal("inside", co())
    co = nil -- luacheck: ignore
    helpers.collect_garbage()
    assert.equal("outside", async.run(function()
      async.sleep(0.001)
      return "outside"
    end))
  end)

  it("can be called where Lua cannot yield", function()
    local sorted = { 3, 1, 2 }
    table.sort(sorted, function(a, b)
      return async.run(function()
        async.sleep(0)
        return a < b
      end)
    end)
    assert.same({ 1, 2, 3 }, sorted)
  end)

  it("refuses what is not awaitable and wrong options", function()
    assert.matches("bad argument #1 to 'run'", failure_text(async.run), 1, true)
    assert.matches("bad argument #1 to 'run'", failure_text(async.run, 42), 1, true)
    assert.matches("bad argument #1 to 'run'", failure_text(async.run, {}), 1, true)
    assert.matches("bad argument #2 to 'run'", failure_text(async.run, print, 42), 1, true)
    for name, value in pairs({ shutdown_timeout = "long", slow_callback = {}, watchdog = "on" }) do
      local text = failure_text(async.run, print, { [name] = value })
      assert.matches("bad argument #2 to 'run'", text, 1, true)
      assert.matches(name, text, 1, true)
    end
    for name, value in pairs({ shutdown_timeout = -1, slow_callback = -0.1, watchdog = 0 / 0 }) do
      local text = failure_text(async.run, print, { [name] = value })
      assert.matches("option '" .. name .. "': number of seconds expected, not below 0", text, 1, true)
    end
  end)

  it("leaves a coroutine that it refused to run as it was", function()
    local co = async(function() return "run later" end)()
    failure(async.run, co, 42)
    assert.equal("run later", async.run(co))
  end)

  it("raises RuntimeError for a coroutine that was awaited before", function()
    local co = async(function() end)()
    async.run(co)
    assert.equal("RuntimeError", failure_kind(async.run, co))
  end)
end)

describe("the end of async.run", function()
  it("runs what is due when the last task has ended: its callbacks, too", function()
    local log = helpers.log()
    async.run(function()
      local task = async.create_task(helpers.forever)
      task:add_done_callback(function() log("task") end)
      async.current_task():add_done_callback(function() log("main") end)
      async.sleep(0)
    end)
    assert.equal("main task", tostring(log))
    async.run(function()
      async.current_task():add_done_callback(function()
        async.create_task(function()
          local _ <close> = helpers.defer(function() log("cleanup") end)
          helpers.forever()
        end)
        async.call_soon(log, "soon")
      end)
    end)
    assert.equal("main task soon cleanup", tostring(log))
  end)

  it("cancels the tasks left and waits for their cleanup", function()
    local log = helpers.log()
    helpers.run(function()
      for _, name in ipairs({ "a", "b" }) do
        async.create_task(function()
          local _ <close> = defer(function()
            async.sleep(0.005)
            log(name)
          end)
          forever()
        end)
      end
      settle()
      log("main")
    end)
    assert.equal("main a b", tostring(log))
  end)

  it("does so when the main task failed, and raises its error", function()
    local task
    local err = failure(helpers.run, function()
      task = async.create_task(forever)
      settle()
      error("broken", 0)
    end)
    assert.equal("broken", err)
    assert.is_true(task:cancelled())
  end)

  it("ends a task that was not started without running it", function()
    local ran = false
    local task = helpers.run(function()
      return async.create_task(function() ran = true end)
    end)
    assert.is_true(task:done())
    assert.is_false(ran)
  end)

  it("leaves no task unfinished, not even one that a cleanup started", function()
    local late
    helpers.run(function()
      async.create_task(function()
        local _ <close> = defer(function() late = async.create_task(forever) end)
        forever()
      end)
      settle()
    end)
    assert.is_true(late:done())
  end)

  it("reports a failure in such a cleanup", function()
    local err = async.ValueError("cleanup broke")
    local reports, ok, result = collect(function()
      async.create_task(function()
        local _ <close> = defer(function() error(err) end)
        forever()
      end, { name = "leftover" })
      settle()
      return 7
    end)
    assert.is_true(ok)
    assert.equal(7, result)
    assert.equal(1, #reports)
    assert.is_true(rawequal(err, reports[1].error))
    assert.equal("leftover", reports[1].task:get_name())
  end)

  it("drops the timers: none fires in a later run", function()
    local fired = false
    async.run(function() async.call_later(0.001, function() fired = true end) end)
    async.run(function() async.sleep(0.01) end)
    assert.is_false(fired)
  end)

  it("closes a task that ignores cancellation by force, and reports it", function()
    local closed, stubborn = false, nil
    local reports, ok, result = collect(function()
      stubborn = async.create_task(function()
        local _ <close> = defer(function() closed = true end)
        while true do pcall(async.sleep, 100) end
      end, { name = "stubborn" })
      settle()
      return "result"
    end, { shutdown_timeout = 0.02 })
    assert.is_true(ok)
    assert.equal("result", result)
    assert.equal(1, #reports)
    assert.is_true(rawequal(stubborn, reports[1].task))
    assert.matches("stubborn", reports[1].message, 1, true)
    assert.is_true(stubborn:done())
    assert.is_true(closed)
  end)

  it("does not let a cleanup wait longer than that either", function()
    local stuck
    local reports, ok = collect(function()
      stuck = async.create_task(function()
        local _ <close> = defer(function() async.sleep(100) end)
        forever()
      end)
      settle()
    end, { shutdown_timeout = 0.02 })
    assert.is_true(ok)
    assert.equal(1, #reports)
    assert.is_true(stuck:done())
  end)

  it("closes by force also what spins without a pause between its waits", function()
    local spinner
    local reports, ok = collect(function()
      spinner = async.create_task(function()
        while true do pcall(async.sleep, 0) end
      end)
      settle()
    end, { shutdown_timeout = 0.02 })
    assert.is_true(ok)
    assert.equal(1, #reports)
    assert.is_true(spinner:done())
  end)

  it("waits for a cleanup without end where it is told to", function()
    local cleaned = false
    async.run(function()
      async.create_task(function()
        local _ <close> = defer(function()
          async.sleep(0.01)
          cleaned = true
        end)
        forever()
      end)
      settle()
    end, { shutdown_timeout = math.huge })
    assert.is_true(cleaned)
  end)

  it("does not wait where nobody ignores the cancellation", function()
    local start = os.time()
    helpers.run(function()
      async.create_task(forever)
      settle()
    end, { shutdown_timeout = 1000 })
    assert.is_true(os.time() - start < 100)
  end)
end)

describe("async.Runner", function()
  it("runs several times on one loop, where tasks live on in between", function()
    local runner <close> = async.Runner()
    local event, worker
    assert.equal("first", runner:run(function()
      event = async.Event()
      worker = async.create_task(function()
        event:wait()
        return "worked"
      end)
      settle()
      return "first"
    end))
    assert.is_false(worker:done())
    local name, result = runner:run(function()
      event:set()
      return async.current_task():get_name(), async.await(worker)
    end)
    assert.equal("Task-3", name)
    assert.equal("worked", result)
  end)

  it("returns several results and raises errors unchanged", function()
    local runner <close> = async.Runner()
    local err = async.ValueError("mine")
    assert.same({ n = 3, 1, nil, 3 }, counted(runner:run(function() return 1, nil, 3 end)))
    assert.is_true(rawequal(err, failure(runner.run, runner, function() error(err) end)))
    assert.equal("again", runner:run(function() return "again" end))
  end)

  it("takes a coroutine", function()
    local runner <close> = async.Runner()
    assert.equal(3, runner:run(async(function(a, b) return a + b end)(1, 2)))
  end)

  it("keeps the exception handler and the timers from run to run", function()
    local runner <close> = async.Runner()
    local reports, fired = {}, false
    runner:run(function()
      async.set_exception_handler(function(info) reports[#reports + 1] = info.error end)
      async.call_later(0.001, function() fired = true end)
    end)
    runner:run(function()
      async.call_soon(error, "from a callback", 0)
      async.sleep(0.01)
    end)
    assert.same({ "from a callback" }, reports)
    assert.is_true(fired)
  end)

  it("cancels what is left when it is closed, and waits for it", function()
    local log = helpers.log()
    do
      local runner <close> = async.Runner()
      runner:run(function()
        async.create_task(function()
          local _ <close> = defer(function()
            async.sleep(0.005)
            log("cleaned up")
          end)
          forever()
        end)
        settle()
      end)
      log("leaving")
    end
    assert.equal("leaving cleaned up", tostring(log))
  end)

  it("may be closed twice, and then does not run any more", function()
    local runner = async.Runner()
    runner:run(function() end)
    runner:close()
    runner:close()
    assert.equal("RuntimeError", failure_kind(runner.run, runner, function() end))
  end)

  it("may be closed without a run", function()
    local runner = async.Runner({ shutdown_timeout = 1 })
    runner:close()
    assert.equal("fine", async.run(function() return "fine" end))
  end)

  it("cannot run in a running loop", function()
    local runner <close> = async.Runner()
    local kind = runner:run(function() return failure_kind(runner.run, runner, function() end) end)
    assert.equal("RuntimeError", kind)
  end)

  it("is the only one with a loop: others have to wait until it is closed", function()
    local runner <close> = async.Runner()
    local other <close> = async.Runner()
    assert.equal(1, runner:run(function() return 1 end))
    for _, start in ipairs({ async.run, function(fn) return other:run(fn) end }) do
      assert.matches("while another Runner is open", failure_text(start, function() end), 1, true)
    end
    assert.equal(2, runner:run(function() return 2 end))
    runner:close()
    assert.equal(3, other:run(function() return 3 end))
  end)

  it("tells its state in tostring", function()
    local runner = async.Runner()
    assert.equal("<Runner unused>", tostring(runner))
    runner:run(function() end)
    assert.equal("<Runner open>", tostring(runner))
    runner:close()
    assert.equal("<Runner closed>", tostring(runner))
  end)

  it("raises DeadlockError and runs again afterwards", function()
    local runner <close> = async.Runner()
    assert.equal("DeadlockError", failure_kind(runner.run, runner, forever))
    assert.equal("fine", runner:run(function() return "fine" end))
  end)

  it("takes the options of run", function()
    local reports = {}
    local runner = async.Runner({ shutdown_timeout = 0.02 })
    runner:run(function()
      async.set_exception_handler(function(info) reports[#reports + 1] = info end)
      async.create_task(function()
        while true do pcall(async.sleep, 100) end
      end)
      settle()
    end)
    runner:close()
    assert.equal(1, #reports)
    assert.matches("bad argument #1 to 'Runner'", failure_text(async.Runner, 42), 1, true)
    assert.matches("shutdown_timeout", failure_text(async.Runner, { shutdown_timeout = "x" }), 1, true)
  end)

  it("checks its arguments", function()
    local runner <close> = async.Runner()
    assert.matches("bad argument #1 to 'run'", failure_text(function() runner:run(42) end), 1, true)
  end)
end)
