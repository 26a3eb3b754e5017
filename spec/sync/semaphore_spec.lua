local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.run, helpers.settle, helpers.forever

local function counted(...)
  return { n = select("#", ...), ... }
end

for _, class in ipairs({ "Semaphore", "BoundedSemaphore" }) do
  local new = async[class]

  describe(class, function()
    it("counts its permits, from 1 by default", function()
      run(function()
        assert.equal(1, new():value())
        local sem = new(2)
        assert.equal(2, sem:value())
        assert.is_false(sem:locked())
        sem:acquire()
        assert.equal(1, sem:value())
        assert.is_false(sem:locked())
        sem:acquire()
        assert.equal(0, sem:value())
        assert.is_true(sem:locked())
        sem:release()
        assert.equal(1, sem:value())
        assert.is_false(sem:locked())
      end)
    end)

    it("lets no more in than it has permits", function()
      run(function()
        local sem, active, peak, jobs = new(3), 0, 0, {}
        for i = 1, 10 do
          jobs[i] = function()
            local _ <close> = sem:acquire()
            active = active + 1
            peak = math.max(peak, active)
            async.sleep(0)
            active = active - 1
          end
        end
        async.gather(jobs)
        assert.equal(3, peak)
        assert.equal(3, sem:value())
      end)
    end)

    it("gives permits in the order in which they were asked for", function()
      run(function()
        local sem, log = new(1), helpers.log()
        sem:acquire()
        for i = 1, 5 do
          async.create_task(function()
            sem:acquire()
            log(i)
            async.sleep(0)
            sem:release()
          end)
        end
        settle()
        assert.equal(5, sem:statistics().waiters)
        sem:release()
        for _ = 1, 5 do settle() end
        assert.equal("1 2 3 4 5", tostring(log))
        assert.equal(1, sem:value())
      end)
    end)

    it("never lets a newcomer overtake a woken waiter", function()
      run(function()
        local sem, log = new(1), helpers.log()
        sem:acquire()
        async.create_task(function()
          sem:acquire()
          log("waiter")
          sem:release()
        end)
        settle()
        sem:release()
        assert.is_true(sem:locked())
        sem:acquire()
        log("newcomer")
        assert.equal("waiter newcomer", tostring(log))
      end)
    end)

    it("is returned by acquire, so that <close> gives the permit back", function()
      run(function()
        local sem = new(1)
        do
          local held <close> = sem:acquire()
          assert.is_true(rawequal(sem, held))
          assert.is_true(sem:locked())
        end
        assert.is_false(sem:locked())
        failure(function()
          local _ <close> = sem:acquire()
          error("leave")
        end)
        assert.is_false(sem:locked())
        local task = async.create_task(function()
          local _ <close> = sem:acquire()
          forever()
        end)
        settle()
        assert.is_true(sem:locked())
        task:cancel()
        failure(async.await, task)
        assert.is_false(sem:locked())
      end)
    end)

    it("runs a function with a permit", function()
      run(function()
        local sem = new(1)
        assert.same({ n = 5, true, 1, nil, 3, nil }, counted(sem:with(function(...)
          async.sleep(0)
          return sem:locked(), ...
        end, 1, nil, 3, nil)))
        assert.equal(1, sem:value())
        local err = async.ValueError("inside")
        assert.is_true(rawequal(err, failure(sem.with, sem, error, err)))
        assert.equal(1, sem:value())
        local task = async.create_task(function() sem:with(forever) end)
        settle()
        assert.equal(0, sem:value())
        task:cancel()
        assert.equal("CancelledError", failure_kind(async.await, task))
        assert.equal(1, sem:value())
      end)
    end)

    it("waits for the permit in with, too", function()
      run(function()
        local sem, log = new(1), helpers.log()
        sem:acquire()
        local task = async.create_task(function() return sem:with(function() return "ran" end) end)
        settle()
        log(task:state())
        sem:release()
        log(async.await(task))
        assert.equal("waiting ran", tostring(log))
        assert.equal(1, sem:value())
      end)
    end)

    it("nests", function()
      run(function()
        local sem = new(2)
        assert.equal(0, sem:with(function() return sem:with(function() return sem:value() end) end))
        assert.equal(2, sem:value())
      end)
    end)

    it("loses no permit to waiters that are cancelled", function()
      run(function()
        local sem, tasks = new(1), {}
        sem:acquire()
        for i = 1, 4 do
          tasks[i] = async.create_task(function()
            sem:acquire()
            return i
          end)
        end
        settle()
        tasks[1]:cancel()
        tasks[3]:cancel()
        settle()
        assert.equal(2, sem:statistics().waiters)
        sem:release()
        assert.equal(2, async.await(tasks[2]))
        assert.equal("waiting", tasks[4]:state())
        sem:release()
        assert.equal(4, async.await(tasks[4]))
        assert.equal(0, sem:value())
        assert.equal(0, sem:statistics().waiters)
      end)
    end)

    it("hands the permit of a waiter on that is cancelled in the turn of its wake-up", function()
      run(function()
        local sem, tasks = new(1), {}
        sem:acquire()
        for i = 1, 4 do
          tasks[i] = async.create_task(function()
            sem:acquire()
            return i
          end)
        end
        settle()
        sem:release()
        for i = 1, 3 do tasks[i]:cancel() end
        assert.equal(4, async.await(tasks[4]))
        for i = 1, 3 do assert.equal("CancelledError", failure_kind(async.await, tasks[i])) end
        assert.equal(0, sem:value())
        sem:release()
        assert.equal(1, sem:value())
      end)
    end)

    it("keeps the permit when all its waiters are cancelled in that turn", function()
      run(function()
        local sem, tasks = new(1), {}
        sem:acquire()
        for i = 1, 3 do tasks[i] = async.create_task(function() sem:acquire() end) end
        settle()
        sem:release()
        for _, task in ipairs(tasks) do task:cancel() end
        for _, task in ipairs(tasks) do failure(async.await, task) end
        assert.equal(1, sem:value())
        assert.is_false(sem:locked())
        sem:acquire()
      end)
    end)

    it("hands on what came together with a deadline", function()
      run(function()
        local sem = new(1)
        sem:acquire()
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = async.create_task(function()
            return failure_kind(async.wait_for, function() sem:acquire() end, 0.002)
          end)
        end
        settle()
        helpers.spin(0.01)
        sem:release()
        local got = 0
        for i = 1, 3 do
          if async.await(tasks[i]) == "nothing" then got = got + 1 end
        end
        assert.equal(1, got + sem:value())
        assert.equal(0, sem:statistics().waiters)
      end)
    end)

    it("may be released by another task and by a callback", function()
      run(function()
        local sem = new(1)
        sem:acquire()
        async.call_soon(function() sem:release() end)
        sem:acquire()
        async.create_task(function() sem:release() end)
        sem:acquire()
        assert.is_true(sem:locked())
      end)
    end)

    it("may start without permits", function()
      run(function()
        assert.is_true(new(0):locked())
        assert.equal(0, new(0):value())
      end)
    end)

    it("is described by tostring and statistics", function()
      run(function()
        local sem = new(2)
        assert.matches("^<.*Semaphore", tostring(sem))
        assert.equal(0, sem:statistics().waiters)
        sem:acquire()
        sem:acquire()
        async.create_task(function() sem:acquire() end)
        settle()
        assert.equal(1, sem:statistics().waiters)
      end)
    end)

    it("checks its arguments", function()
      run(function()
        local prefix = ("bad argument #1 to '%s'"):format(class)
        assert.matches(prefix .. " (number expected, got string)", failure_text(new, "x"), 1, true)
        assert.matches(prefix, failure_text(new, {}), 1, true)
        assert.matches(prefix, failure_text(new, 1.5), 1, true)
        assert.matches(prefix, failure_text(new, -1), 1, true)
        local sem = new(1)
        assert.matches("bad argument #1 to 'with'", failure_text(function() sem:with(42) end), 1, true)
        assert.equal(1, sem:value())
        for _, method in ipairs({ "acquire", "release", "locked", "with", "value", "statistics" }) do
          assert.matches("bad argument #1", failure_text(sem[method], {}), 1, true)
          assert.matches("bad argument #1", failure_text(sem[method], async.Event()), 1, true)
          assert.is_false(pcall(sem[method]))
        end
        assert.equal(1, sem:value())
      end)
    end)

    it("needs a task to wait in, and loses no permit where there is none", function()
      local sem, kind = new(1), nil
      run(function()
        sem:acquire()
        async.call_soon(function() kind = failure_kind(sem.acquire, sem) end)
        settle()
        sem:release()
      end)
      assert.equal("RuntimeError", kind)
      assert.equal(1, sem:value())
      assert.equal(0, sem:statistics().waiters)
    end)
  end)
end

describe("release beyond the start", function()
  it("adds permits to a Semaphore", function()
    run(function()
      local sem = async.Semaphore(1)
      sem:release()
      sem:release()
      assert.equal(3, sem:value())
      for _ = 1, 3 do sem:acquire() end
      assert.is_true(sem:locked())
    end)
  end)

  it("is a ValueError for a BoundedSemaphore, which stays as it was", function()
    run(function()
      local sem = async.BoundedSemaphore(2)
      assert.equal("ValueError", failure_kind(sem.release, sem))
      assert.equal(2, sem:value())
      sem:acquire()
      sem:release()
      assert.equal("ValueError", failure_kind(sem.release, sem))
      assert.equal(2, sem:value())
    end)
  end)

  it("is not one while a waiter is to get the permit", function()
    run(function()
      local sem = async.BoundedSemaphore(1)
      sem:acquire()
      local task = async.create_task(function() sem:acquire() end)
      settle()
      sem:release()
      async.await(task)
      sem:release()
      assert.equal("ValueError", failure_kind(sem.release, sem))
    end)
  end)
end)
