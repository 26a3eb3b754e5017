-- Programs that nobody should write. They may fail, but not crash, hang, or spoil what comes after.
local async = require "luawait"
local std = require "luawait.std"
local helpers = require "spec.support.helpers"

local child_output, failure_text = helpers.child_output, helpers.failure_text

-- async.run(fn) with its reports dropped; a deadlock or any other error is raised.
local function run(fn, opts)
  local _, ok, result = helpers.collect(fn, opts)
  if not ok then error(result, 0) end
  return result
end

-- A parked task and its coroutine.
local function parked(wait)
  local thread
  local task = async.create_task(function()
    thread = coroutine.running()
    return wait()
  end)
  helpers.settle()
  return task, thread
end

local waits = {
  sleep = function() async.sleep(3600) end,
  event = function() async.Event():wait() end,
  future = function() async.await(async.Future()) end,
  task = function() async.await(async.create_task(helpers.forever)) end,
  shield = function() async.shield(async.Future()) end,
  gather = function() async.gather(async.Future(), async.Future()) end,
  wait = function() async.wait({ async.Future() }, { timeout = 3600 }) end,
  semaphore = function() async.Semaphore(0):acquire() end,
  lock = function()
    local lock = async.Lock()
    lock:acquire()
    lock:acquire()
  end,
}

describe("a stranger who has a task's coroutine:", function()
  for name, wait in pairs(waits) do
    it("closes it during " .. name .. ", then the task is cancelled", function()
      run(function()
        local task, thread = parked(wait)
        assert.is_true(coroutine.close(thread))
        helpers.collect_garbage()
        task:cancel()
        helpers.settle()
        assert.is_true(task:done())
      end)
      assert.same({}, async.all_tasks())
    end)

    it("closes it during " .. name .. ", and the run ends", function()
      local task
      run(function()
        local thread
        task, thread = parked(wait)
        coroutine.close(thread)
        helpers.collect_garbage()
      end, { shutdown_timeout = 1 })
      assert.is_true(task:done())
    end)

    it("resumes it during " .. name .. ", and is sent away", function()
      run(function()
        local task, thread = parked(wait)
        for _ = 1, 3 do assert.matches("only the event loop", select(2, coroutine.resume(thread, 1, 2))) end
        assert.equal("waiting", task:state())
        task:cancel()
        helpers.settle()
        assert.is_true(task:cancelled())
      end)
    end)
  end

  it("resumes it in a callback, and is sent away", function()
    run(function()
      local told = {}
      local function stranger(resume, thread)
        async.call_soon(function() told[#told + 1] = select(2, resume(thread, 1, 2)) end)
      end
      local task, thread = parked(function() return async.sleep(0.02, "a") end)
      stranger(coroutine.resume, thread)
      local inner = std.coroutine.create(function() return async.sleep(0.02, "b") end)
      local outer = parked(function() return std.coroutine.resume(inner) end)
      stranger(coroutine.resume, inner)
      stranger(std.coroutine.resume, inner)
      assert.same({ n = 1, "a" }, table.pack(async.await(task)))
      assert.same({ n = 2, true, "b" }, table.pack(async.await(outer)))
      assert.equal(3, #told)
      for _, text in ipairs(told) do assert.matches("only the event loop", text) end
    end)
  end)

  it("closes it during a wait, whose deadline comes", function()
    run(function()
      local task, thread = parked(function() async.wait({ async.Future() }, { timeout = 0.01 }) end)
      coroutine.close(thread)
      helpers.collect_garbage()
      assert.matches("closed from outside", task:waiting_on())
      assert.equal("cannot resume dead coroutine", helpers.failure(async.await, task))
    end)
  end)

  it("leaves no argument of his in the results", function()
    run(function()
      local task, thread = parked(function() return async.sleep(0.02, "a") end)
      for _ = 1, 3 do coroutine.resume(thread, "x", "y") end
      assert.same({ n = 1, "a" }, table.pack(async.await(task)))
    end)
  end)

  it("cannot resume or spoil one that has ended and serves again", function()
    run(function()
      local _, thread = parked(function() end)
      assert.is_false(coroutine.resume(thread, 1, 2))
      coroutine.close(thread)
      local task, again = parked(function() return async.sleep(0.01, "fine") end)
      assert.is_false(thread ~= again and coroutine.resume(thread))
      assert.equal("fine", async.await(task))
    end)
  end)

  it("closes a coroutine of std that a task waits in", function()
    run(function()
      local inner
      local task = async.create_task(function()
        inner = std.coroutine.create(waits.event)
        return std.coroutine.resume(inner)
      end)
      helpers.settle()
      assert.is_true(coroutine.close(inner))
      helpers.collect_garbage()
      task:cancel()
      helpers.settle()
      assert.is_true(task:done())
    end)
  end)
end)

describe("outside a run, or after it:", function()
  it("a callback of a finished future is added before the run", function()
    assert.equal("called end", child_output([[
      local fut = async.Future()
      fut:set_result(1)
      fut:add_done_callback(function() io.write("called ") end)
      async.run(function() async.sleep(0) end)
      io.write("end")]], { seconds = 10 }))
  end)

  it("a timeout scope that was never left outlives its loop", function()
    local kept = {}
    run(function() kept.scope = async.timeout(3600) end)
    pcall(kept.scope.reschedule, kept.scope, async.time() + 3600)
    run(function() async.sleep(0.001) end)
    kept.scope = nil
    helpers.collect_garbage()
    assert.equal(7, run(function() return async.sleep(0.001, 7) end))
  end)

  it("the exception handler makes tasks and callbacks while the run ends", function()
    local fut, made, kept = async.Future(), {}, nil
    async.run(function()
      async.set_exception_handler(function()
        pcall(function() made.task = async.create_task(function() end) end)
        pcall(function() made.handle = async.call_soon(function() end) end)
        fut:add_done_callback(function() end)
      end)
      kept = async.create_task(function() error("never asked for") end)
      helpers.settle()
    end)
    assert.is_true(kept:done())
    helpers.collect_garbage()
    fut:set_result(1)
    if made.handle then made.handle:cancel() end
    if made.task then assert.is_true(made.task:done()) end
    assert.equal(1, run(function() return async.await(fut) end))
  end)

  it("a cleanup that makes another task each time does not go on for ever", function()
    local bodies = 0
    local function body()
      bodies = bodies + 1
      local _ <close> = helpers.defer(function()
        async.create_task(body)
        async.sleep(0)
      end)
      helpers.forever()
    end
    run(function()
      async.create_task(body)
      helpers.settle()
    end)
    assert.is_true(bodies > 1)
    assert.same({}, async.all_tasks())
  end)

  it("an exception handler that makes a task and a failure each time is not called for ever", function()
    local failed = {}
    local function fail()
      failed[#failed + 1] = async.Future()
      failed[#failed]:set_exception("again")
    end
    async.run(function()
      async.set_exception_handler(function()
        async.create_task(helpers.forever)
        fail()
      end)
      fail()
    end)
    assert.is_true(#failed > 2)
    for _, future in ipairs(failed) do future:exception() end
    assert.same({}, async.all_tasks())
  end)

  it("an exception handler that makes another failure each time is not called for ever", function()
    assert.equal("end", child_output([[
      async.run(function()
        async.set_exception_handler(function() async.create_task(function() error("again") end) end)
        async.call_soon(error, "first")
        async.sleep(0.001)
      end)
      io.write("end")]], { seconds = 20 }))
  end)
end)

describe("debug hooks:", function()
  it("one that raises in the loop's own calls ends the run with its error", function()
    assert.matches("from the hook", child_output([[
      local armed
      debug.sethook(function()
        if armed then
          armed = false
          error("from the hook")
        end
      end, "c")
      print(pcall(async.run, function()
        async.call_soon(function() armed = true end)
        async.sleep(0.01)
      end))
      debug.sethook()
      print(async.run(function() return async.sleep(0.001, "again") end))]], { seconds = 20 }))
  end)

  it("one that raises when a failing task returns does not touch the next task", function()
    run(function()
      async.create_task(function()
        debug.sethook(function() error("hook") end, "r")
        error("x")
      end)
      helpers.settle()
      for _ = 1, 5 do
        local task = async.create_task(function() end)
        helpers.settle()
        assert.equal("done", task:state())
      end
    end)
  end)
end)

describe("the C stack:", function()
  it("a run at every depth of C calls works or raises", function()
    local function deep(n, fn)
      if n == 0 then return fn() end
      string.gsub("x", "x", function() deep(n - 1, fn) end)
    end
    local results = {}
    for n = 150, 200 do
      local ok, result
      local reached = pcall(deep, n, function()
        ok, result = pcall(async.run, function()
          async.await(async.create_task(function() async.sleep(0.0001) end))
          return "fine"
        end)
      end)
      results[#results + 1] = reached and ok and result or "raised"
    end
    assert.equal("fine", results[1])
    assert.equal("raised", results[#results])
    assert.equal("fine", run(function() return async.sleep(0.001, "fine") end))
  end)
end)

describe("cancelling:", function()
  it("a task that cancelled itself, then gathers", function()
    run(function()
      local fut = async.Future()
      local task = async.create_task(function()
        async.current_task():cancel()
        async.gather(fut, async.Future())
      end)
      helpers.settle()
      assert.is_true(task:cancelled())
      assert.is_true(fut:cancelled())
    end)
  end)

  it("more often than a counter can hold", function()
    run(function()
      local task = async.create_task(helpers.forever)
      for _ = 1, 70000 do task:cancel() end
      assert.is_true(task:cancelling() > 0)
      helpers.settle()
      assert.is_true(task:cancelled())
    end)
  end)
end)

describe("sizes:", function()
  it("more arguments than a callback can keep are refused", function()
    local many = table.pack(table.unpack({}, 1, 70000))
    run(function()
      assert.matches("too many arguments", failure_text(async.call_soon, print, table.unpack(many, 1, 70000)))
      assert.matches("too many arguments", failure_text(async.call_later, 1, print, table.unpack(many, 1, 70000)))
    end)
  end)

  it("a list that gives itself an impossible length is refused", function()
    run(function()
      for _, length in ipairs({ -1, math.mininteger, 2 ^ 31, math.maxinteger }) do
        local list = setmetatable({}, { __len = function() return length end })
        assert.matches("bad argument #1", failure_text(async.wait, list))
      end
    end)
  end)

  it("a semaphore does not count past the integers", function()
    local sem = async.Semaphore(math.maxinteger)
    assert.equal("ValueError", helpers.failure_kind(sem.release, sem))
    assert.equal(math.maxinteger, sem:value())
  end)

  -- Linear ones take a fraction of a second; the quadratic ones that these keep out took minutes.
  it("many failures that nobody asks for, many tasks in a deadlock, a long chain left behind", function()
    local count = helpers.scale(100000)
    assert.equal(count .. " DeadlockError\nend", child_output(([[
      local count, reports, kept = %d, 0, {}
      async.run(function()
        async.set_exception_handler(function() reports = reports + 1 end)
        for i = 1, count do kept[i] = async.create_task(function() error("x") end) end
        for _ = 1, 3 do async.sleep(0) end
      end)
      local _, err = pcall(async.run, function()
        local event = async.Event()
        for _ = 1, count do async.create_task(function() event:wait() end) end
        event:wait()
      end)
      print(reports .. " " .. err.name)
      async.run(function()
        local last = async.create_task(function() async.sleep(3600) end)
        for _ = 2, count do
          local before = last
          last = async.create_task(function() async.await(before) end)
        end
        for _ = 1, 2 do async.sleep(0) end
      end)
      io.write("end")]]):format(count), { seconds = 60 }))
  end)
end)

-- Programs made by a seeded generator: tasks are cancelled at random steps; nothing may be lost by it.
describe("random programs:", function()
  local random = math.random

  local function program(seed)
    math.randomseed(seed)
    local permits, lock, event = random(3), async.Lock(), async.Event()
    local sem, bounded = async.Semaphore(permits), async.BoundedSemaphore(permits)
    local steps, strike, victims = 0, random(40), {}
    local entered, left, inside = 0, 0, 0

    local function tick()
      steps = steps + 1
      if steps < strike then return end
      strike = strike + random(30)
      victims[random(#victims)]:cancel()
    end

    local function guarded(fn, ...)
      entered = entered + 1
      local _ <close> = helpers.defer(function() left = left + 1 end)
      return fn(...)
    end

    local leaves = {
      function() async.sleep(0) end,
      function() async.sleep(random() * 0.0002) end,
      function()
        local _ <close> = sem:acquire()
        async.sleep(0)
      end,
      function() bounded:with(async.sleep, 0.0001) end,
      function()
        local _ <close> = lock:acquire()
        inside = inside + 1
        assert.equal(1, inside)
        local _ <close> = helpers.defer(function() inside = inside - 1 end)
        async.sleep(0)
      end,
      function() pcall(async.wait_for, function() event:wait() end, 0.0002) end,
      function()
        event:set()
        async.sleep(0)
        event:clear()
      end,
      function() std.coroutine.wrap(function() async.sleep(0) end)() end,
      function() error("leaf") end,
    }

    local function leaf()
      tick()
      leaves[random(#leaves)]()
      tick()
    end

    local grow
    local function sub(depth) return function() return guarded(grow, depth + 1) end end

    local branches = {
      function(d) async.gather(sub(d), leaf) end,
      function(d) async.gather({ a = sub(d), b = leaf }, { return_exceptions = true }) end,
      function(d) async.wait({ async.create_task(sub(d)), async.create_task(leaf) }, { timeout = 0.0003 }) end,
      function(d) async.timeout(random() * 0.0006, sub(d)) end,
      function(d) async.shield(async.create_task(sub(d))) end,
      function(d)
        async.task_group(function(tg)
          victims[#victims + 1] = tg:create_task(sub(d))
          tg:create_task(leaf)
          sub(d)()
        end)
      end,
      function(d)
        local task = async.create_task(sub(d))
        victims[#victims + 1] = task
        async.await(task)
      end,
      function(d) async.wait_for(sub(d), random() * 0.0005) end,
    }

    function grow(depth)
      for _ = 1, random(3) do
        local step = (depth > 3 or random(4) == 1) and leaf or branches[random(#branches)]
        if random(2) == 1 then async.pcall(step, depth) else step(depth) end
      end
    end

    local reports = {}
    helpers.test(function()
      async.set_exception_handler(function(info) reports[#reports + 1] = info end)
      local tasks = {}
      for i = 1, random(2, 5) do
        tasks[i] = async.create_task(sub(0))
        victims[#victims + 1] = tasks[i]
      end
      local _, pending = async.wait(tasks, { timeout = 30 })
      assert.same({}, pending)
    end, { leaks = false })

    for _, report in ipairs(reports) do assert.not_matches("by force", report.message) end
    assert.same({}, async.all_tasks())
    assert.equal(permits, sem:value())
    assert.equal(permits, bounded:value())
    assert.is_false(lock:locked())
    assert.equal(0, sem:statistics().waiters + bounded:statistics().waiters + lock:statistics().waiters)
    assert.equal(0, event:statistics().waiters)
    assert.equal(entered, left)
  end

  it("nothing is lost, and no task is left", function()
    for seed = 1, helpers.scale(200) do
      local ok, err = pcall(program, seed)
      if not ok then error(("seed %d: %s"):format(seed, tostring(err)), 0) end
    end
  end)
end)
