local async = require "luawait"
local helpers = require "spec.support.helpers"

local std = require "luawait.std"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

-- `count` tasks that wait at the barrier, in this order, and return what wait() returned.
local function start_waiters(barrier, count)
  local tasks = {}
  for i = 1, count do tasks[i] = async.create_task(function() return barrier:wait() end) end
  settle()
  return tasks
end

describe("a Barrier", function()
  it("holds tasks until the last has come, and gives each its index in order of arrival", function()
    run(function()
      local barrier = async.Barrier(4)
      local tasks = start_waiters(barrier, 3)
      for _, task in ipairs(tasks) do assert.equal("waiting", task:state()) end
      assert.equal(4, barrier:wait())
      assert.same({ 1, 2, 3, n = 3 }, async.gather(tasks))
    end)
  end)

  it("lets the last one go on at once, and the others in order of arrival", function()
    run(function()
      local barrier, log = async.Barrier(4), helpers.log()
      for i = 1, 3 do
        async.create_task(function()
          barrier:wait()
          log(i)
        end)
      end
      settle()
      barrier:wait()
      log("last")
      settle()
      assert.equal("last 1 2 3", tostring(log))
    end)
  end)

  it("is as new afterwards", function()
    run(function()
      local barrier, log = async.Barrier(3), helpers.log()
      local function work(name)
        return function()
          for round = 1, 3 do
            local index = barrier:wait()
            log(name .. round .. index)
            if index == 1 then async.sleep(0) end
          end
        end
      end
      async.gather(work("a"), work("b"), work("c"))
      assert.equal(9, #log)
      local indices = {}
      for i, word in ipairs(log) do
        local round, index = word:match("%a(%d)(%d)")
        assert.equal((i + 2) // 3, tonumber(round))
        indices[round .. index] = (indices[round .. index] or 0) + 1
      end
      for round = 1, 3 do
        for index = 1, 3 do assert.equal(1, indices[round .. index]) end
      end
      assert.equal(0, barrier:n_waiting())
    end)
  end)

  it("counts newcomers for the next round while the tasks of this one have yet to run", function()
    run(function()
      local barrier = async.Barrier(2)
      local first = start_waiters(barrier, 1)[1]
      assert.equal(2, barrier:wait())
      assert.equal(0, barrier:n_waiting())
      local newcomer = async.create_task(function() return barrier:wait() end)
      assert.equal(1, async.await(first))
      settle()
      assert.equal("waiting", newcomer:state())
      assert.equal(2, barrier:wait())
      assert.equal(1, async.await(newcomer))
    end)
  end)

  it("for one does not wait, not even for a task", function()
    local barrier = async.Barrier(1)
    assert.equal(1, barrier:wait())
    assert.equal(1, barrier:wait())
    assert.equal(0, barrier:n_waiting())
  end)

  it("takes many", function()
    run(function()
      local barrier = async.Barrier(10001)
      local tasks = start_waiters(barrier, 10000)
      assert.equal(10000, barrier:n_waiting())
      assert.equal(10001, barrier:wait())
      for i, task in ipairs(tasks) do assert.equal(i, async.await(task)) end
    end)
  end)

  it("checks its arguments", function()
    local prefix = "bad argument #1 to 'Barrier'"
    assert.matches(prefix .. " (number expected, got no value)", failure_text(async.Barrier), 1, true)
    assert.matches(prefix .. " (number expected, got table)", failure_text(async.Barrier, {}), 1, true)
    for _, value in ipairs({ 0, -1, 1.5, 0 / 0, math.huge, "x" }) do
      assert.matches(prefix, failure_text(async.Barrier, value), 1, true)
    end
    local barrier = async.Barrier(1)
    for _, method in ipairs({ "wait", "reset", "abort", "parties", "n_waiting", "broken", "statistics" }) do
      assert.is_false(pcall(barrier[method]))
      for _, value in ipairs({ {}, async.Lock(), 1 }) do
        assert.matches("bad argument #1", failure_text(barrier[method], value), 1, true)
      end
    end
  end)
end)

describe("a Barrier's waiter that is cancelled", function()
  it("leaves: the others go on waiting, and their indices have no gap", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      tasks[1]:cancel()
      assert.equal("CancelledError", failure_kind(async.await, tasks[1]))
      assert.equal(1, barrier:n_waiting())
      assert.is_false(barrier:broken())
      local late = start_waiters(barrier, 1)[1]
      assert.equal("waiting", tasks[2]:state())
      assert.equal(3, barrier:wait())
      assert.equal(1, async.await(tasks[2]))
      assert.equal(2, async.await(late))
    end)
  end)

  it("in the turn of the release is cancelled, and the others pass", function()
    run(function()
      local barrier = async.Barrier(4)
      local tasks = start_waiters(barrier, 3)
      assert.equal(4, barrier:wait())
      tasks[2]:cancel()
      assert.equal(1, async.await(tasks[1]))
      assert.equal("CancelledError", failure_kind(async.await, tasks[2]))
      assert.equal(3, async.await(tasks[3]))
      assert.equal(0, barrier:n_waiting())
      assert.is_false(barrier:broken())
    end)
  end)

  it("before the last one comes, in the same turn, does not count", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      tasks[1]:cancel()
      local last = async.create_task(function() return barrier:wait() end)
      settle()
      assert.equal("waiting", last:state())
      assert.equal(2, barrier:n_waiting())
      assert.equal(3, barrier:wait())
      assert.equal(1, async.await(tasks[2]))
      assert.equal(2, async.await(last))
    end)
  end)

  it("in the turn of an abort is cancelled, not told of it", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      barrier:abort()
      tasks[1]:cancel()
      assert.equal("CancelledError", failure_kind(async.await, tasks[1]))
      assert.equal("BrokenBarrierError", failure_kind(async.await, tasks[2]))
    end)
  end)

  it("by a deadline leaves no place behind", function()
    run(function()
      local barrier = async.Barrier(2)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, barrier.wait, barrier))
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() barrier:wait() end, 0.002))
      assert.equal(0, barrier:n_waiting())
      local task = start_waiters(barrier, 1)[1]
      assert.equal("waiting", task:state())
      assert.equal(2, barrier:wait())
      assert.equal(1, async.await(task))
    end)
  end)

  it("by the end of the run leaves no place behind", function()
    local barrier = async.Barrier(3)
    run(function() start_waiters(barrier, 2) end, helpers.leaving_tasks)
    assert.same({ parties = 3, waiters = 0, broken = false }, barrier:statistics())
  end)
end)

describe("a Barrier that is aborted", function()
  it("raises BrokenBarrierError in whoever waits and whoever comes", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      assert.is_false(barrier:broken())
      barrier:abort()
      assert.is_true(barrier:broken())
      assert.equal(0, barrier:n_waiting())
      for _, task in ipairs(tasks) do assert.equal("BrokenBarrierError", failure_kind(async.await, task)) end
      for _ = 1, 4 do assert.equal("BrokenBarrierError", failure_kind(barrier.wait, barrier)) end
      assert.equal(0, barrier:n_waiting())
      barrier:abort()
      assert.is_true(barrier:broken())
    end)
  end)

  it("is whole again after a reset", function()
    run(function()
      local barrier = async.Barrier(2)
      barrier:abort()
      barrier:reset()
      assert.is_false(barrier:broken())
      local task = start_waiters(barrier, 1)[1]
      assert.equal(2, barrier:wait())
      assert.equal(1, async.await(task))
    end)
  end)

  it("and reset in the same turn has broken the wait of those who waited, not of newcomers", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      barrier:abort()
      barrier:reset()
      local newcomers = start_waiters(barrier, 2)
      for _, task in ipairs(tasks) do assert.equal("BrokenBarrierError", failure_kind(async.await, task)) end
      assert.equal(3, barrier:wait())
      assert.same({ 1, 2, n = 2 }, async.gather(newcomers))
    end)
  end)

  it("after it let its tasks go, in the same turn, does not take that back", function()
    run(function()
      local barrier = async.Barrier(2)
      local task = start_waiters(barrier, 1)[1]
      barrier:wait()
      barrier:abort()
      assert.equal(1, async.await(task))
      assert.equal("BrokenBarrierError", failure_kind(barrier.wait, barrier))
    end)
  end)

  it("for one is broken, too", function()
    local barrier = async.Barrier(1)
    barrier:abort()
    assert.equal("BrokenBarrierError", failure_kind(barrier.wait, barrier))
  end)
end)

describe("a Barrier that is reset", function()
  it("raises BrokenBarrierError in whoever waits, and is not broken", function()
    run(function()
      local barrier = async.Barrier(3)
      local tasks = start_waiters(barrier, 2)
      barrier:reset()
      assert.is_false(barrier:broken())
      assert.equal(0, barrier:n_waiting())
      local newcomers = start_waiters(barrier, 2)
      for _, task in ipairs(tasks) do assert.equal("BrokenBarrierError", failure_kind(async.await, task)) end
      for _, task in ipairs(newcomers) do assert.equal("waiting", task:state()) end
      assert.equal(3, barrier:wait())
      assert.same({ 1, 2, n = 2 }, async.gather(newcomers))
    end)
  end)

  it("while nobody waits is as it was", function()
    run(function()
      local barrier = async.Barrier(2)
      barrier:reset()
      assert.same({ parties = 2, waiters = 0, broken = false }, barrier:statistics())
      local task = start_waiters(barrier, 1)[1]
      assert.equal(2, barrier:wait())
      barrier:reset()
      assert.equal(1, async.await(task))
    end)
  end)
end)

describe("waiting at a Barrier", function()
  it("is possible in a coroutine of luawait.std", function()
    run(function()
      local barrier = async.Barrier(2)
      local task = async.create_task(function()
        local wait = std.coroutine.wrap(function()
          local index = barrier:wait()
          return index, failure_kind(barrier.wait, barrier)
        end)
        return wait()
      end)
      settle()
      barrier:wait()
      settle()
      barrier:abort()
      assert.same({ 1, "BrokenBarrierError" }, { async.await(task) })
    end)
  end)

  it("needs a task, and takes no place without one", function()
    local barrier = async.Barrier(2)
    assert.equal("RuntimeError", failure_kind(barrier.wait, barrier))
    assert.equal(0, barrier:n_waiting())
    run(function()
      assert.matches("table.sort", failure_text(table.sort, { 2, 1 }, function() return barrier:wait() end), 1, true)
      assert.equal(0, barrier:n_waiting())
      local task = start_waiters(barrier, 1)[1]
      assert.equal("waiting", task:state())
      local index
      async.call_soon(function() index = barrier:wait() end)
      assert.equal(1, async.await(task))
      assert.equal(2, index)
    end)
  end)

  it("may be ended from a callback", function()
    run(function()
      local barrier = async.Barrier(2)
      async.call_soon(function() barrier:abort() end)
      assert.equal("BrokenBarrierError", failure_kind(barrier.wait, barrier))
    end)
  end)

  it("is described: by statistics, tostring and waiting_on", function()
    run(function()
      local barrier = async.Barrier(3)
      assert.equal(3, barrier:parties())
      assert.equal("<Barrier parties=3 waiters=0>", tostring(barrier))
      local tasks = start_waiters(barrier, 2)
      assert.equal(2, barrier:n_waiting())
      assert.equal("<Barrier parties=3 waiters=2>", tostring(barrier))
      assert.same({ parties = 3, waiters = 2, broken = false }, barrier:statistics())
      assert.equal("barrier (2 of 3 waiting)", tasks[1]:waiting_on())
      barrier:abort()
      assert.equal("<Barrier broken parties=3 waiters=0>", tostring(barrier))
      assert.same({ parties = 3, waiters = 0, broken = true }, barrier:statistics())
      async.wait(tasks)
      for _, task in ipairs(tasks) do assert.equal("BrokenBarrierError", helpers.kind(task:exception())) end
    end)
  end)

  it("that nobody can end is a DeadlockError that names it", function()
    local err = failure(async.run, function() async.Barrier(2):wait() end)
    assert.equal("DeadlockError", helpers.kind(err))
    assert.matches("barrier (1 of 2 waiting)", err.message, 1, true)
  end)

  it("keeps the barrier alive, and lets it go with its task", function()
    local weak = setmetatable({}, { __mode = "k" })
    run(function()
      local task
      do
        local barrier = async.Barrier(2)
        weak[barrier] = true
        task = start_waiters(barrier, 1)[1]
      end
      helpers.collect_garbage()
      assert.is_true(next(weak) ~= nil)
      task:cancel()
      async.wait({ task })
    end)
    helpers.collect_garbage()
    assert.is_nil(next(weak))
  end)
end)
