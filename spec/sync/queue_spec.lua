local async = require "luawait"
local helpers = require "spec.support.helpers"

local std = require "luawait.std"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

-- `count` tasks that each get an item and return it.
local function start_getters(queue, count)
  local tasks = {}
  for i = 1, count do tasks[i] = async.create_task(function() return queue:get() end) end
  settle()
  return tasks
end

-- A task for each of the items that puts it.
local function start_putters(queue, ...)
  local tasks = {}
  for i, item in ipairs({ ... }) do tasks[i] = async.create_task(function() queue:put(item) end) end
  settle()
  return tasks
end

-- All that can be got without waiting, as words.
local function drain(queue)
  local log = helpers.log()
  while not queue:empty() do log(queue:get_nowait()) end
  return tostring(log)
end

-- A queue that holds these.
local function filled(maxsize, ...)
  local queue = async.Queue(maxsize)
  for _, item in ipairs({ ... }) do queue:put_nowait(item) end
  return queue
end

describe("a Queue", function()
  it("gives items out in the order in which they were put", function()
    run(function()
      local queue = async.Queue()
      for i = 1, 5 do queue:put(i) end
      assert.equal(5, queue:qsize())
      for i = 1, 5 do assert.equal(i, queue:get()) end
      assert.equal(0, queue:qsize())
      assert.is_true(queue:empty())
    end)
  end)

  it("is unbounded where maxsize is not above 0", function()
    for _, maxsize in ipairs({ 0, -1, math.mininteger }) do
      local queue = async.Queue(maxsize)
      for i = 1, 1000 do queue:put_nowait(i) end
      assert.is_false(queue:full())
      assert.equal(1000, queue:qsize())
      assert.equal(maxsize, queue:maxsize())
    end
    assert.equal(0, async.Queue():maxsize())
    assert.equal(0, async.Queue(nil):maxsize())
  end)

  it("holds maxsize items and no more", function()
    local queue = filled(2, "a")
    assert.is_false(queue:full())
    queue:put_nowait("b")
    assert.is_true(queue:full())
    assert.equal("QueueFull", failure_kind(queue.put_nowait, queue, "c"))
    assert.equal("a b", drain(queue))
    assert.is_false(queue:full())
    assert.equal("QueueEmpty", failure_kind(queue.get_nowait, queue))
    assert.equal(2, queue:maxsize())
  end)

  it("takes any value but nil", function()
    local queue, values = async.Queue(), { false, true, 0, "", {}, print, io.stdout, 0 / 0 }
    for _, value in ipairs(values) do queue:put_nowait(value) end
    assert.equal(8, queue:qsize())
    for i = 1, 7 do assert.is_true(rawequal(values[i], queue:get_nowait())) end
    local nan = queue:get_nowait()
    assert.is_true(nan ~= nan)
    for _, method in ipairs({ "put", "put_nowait" }) do
      local expected = ("bad argument #1 to '%s' (item other than nil expected, got "):format(method)
      assert.matches(expected .. "nil)", failure_text(load(("local q = ... q:%s(nil)"):format(method)), queue), 1, true)
      assert.matches(expected .. "no value)", failure_text(load(("local q = ... q:%s()"):format(method)), queue), 1,
        true)
    end
    assert.equal(0, queue:qsize())
    assert.equal(8, queue:statistics().unfinished)
  end)

  it("hands false over as it does any item, also in an iteration", function()
    run(function()
      local queue = async.Queue(1)
      local getter = start_getters(queue, 1)[1]
      queue:put(false)
      assert.is_false(async.await(getter))
      queue:put(false)
      queue:shutdown()
      local count = 0
      for item in queue:iter() do
        assert.is_false(item)
        count = count + 1
      end
      assert.equal(1, count)
    end)
  end)

  it("checks its arguments", function()
    for _, class in ipairs({ "Queue", "LifoQueue", "PriorityQueue" }) do
      local prefix = ("bad argument #1 to '%s'"):format(class)
      assert.matches(prefix .. " (number expected, got table)", failure_text(async[class], {}), 1, true)
      assert.matches(prefix, failure_text(async[class], 1.5), 1, true)
      assert.matches(prefix, failure_text(async[class], "many"), 1, true)
    end
    local queue = async.Queue()
    local methods = { "put", "get", "put_nowait", "get_nowait", "qsize", "empty", "full", "maxsize", "task_done",
      "join", "shutdown", "iter", "statistics" }
    for _, method in ipairs(methods) do
      assert.is_false(pcall(queue[method]))
      for _, value in ipairs({ {}, async.Lock(), 1, io.stdout }) do
        assert.matches("bad argument #1", failure_text(queue[method], value, 1), 1, true)
      end
    end
    assert.matches("calling 'put' on bad self", failure_text(function()
      local wrong = setmetatable({}, { __index = { put = queue.put } })
      wrong:put(1)
    end), 1, true)
    local next_item = queue:iter()
    assert.matches("Queue expected", failure_text(next_item, {}), 1, true)
  end)

  it("keeps its items alive, and lets them go with itself", function()
    local weak, queue = setmetatable({}, { __mode = "k" }), async.Queue()
    do
      local item = {}
      weak[item] = true
      queue:put_nowait(item)
    end
    helpers.collect_garbage()
    assert.is_true(next(weak) ~= nil)
    queue:get_nowait()
    helpers.collect_garbage()
    assert.is_nil(next(weak))
    do
      local item = {}
      weak[item] = true
      queue:put_nowait(item)
    end
    assert.equal(1, queue:qsize())
    queue = nil -- luacheck: ignore
    helpers.collect_garbage()
    assert.is_nil(next(weak))
  end)
end)

describe("Queue get", function()
  it("waits for an item, and items go to the getters in the order in which they came", function()
    run(function()
      local queue = async.Queue()
      local getters = start_getters(queue, 3)
      assert.equal(3, queue:statistics().getters)
      for _, item in ipairs({ "a", "b", "c", "d" }) do queue:put_nowait(item) end
      assert.same({ "a", "b", "c", n = 3 }, async.gather(getters))
      assert.equal("d", drain(queue))
    end)
  end)

  it("lets no newcomer take what is promised to a woken getter", function()
    run(function()
      local queue = async.Queue()
      local getter = start_getters(queue, 1)[1]
      queue:put_nowait("promised")
      assert.is_true(queue:empty())
      assert.equal(0, queue:qsize())
      assert.equal("QueueEmpty", failure_kind(queue.get_nowait, queue))
      local newcomer = async.create_task(function() return queue:get() end)
      assert.equal("promised", async.await(getter))
      settle()
      assert.equal("waiting", newcomer:state())
      queue:put_nowait("second")
      assert.equal("second", async.await(newcomer))
    end)
  end)

  it("cancelled, takes nothing", function()
    run(function()
      local queue = async.Queue()
      local getters = start_getters(queue, 3)
      getters[1]:cancel()
      getters[3]:cancel()
      settle()
      assert.equal(1, queue:statistics().getters)
      queue:put_nowait("a")
      queue:put_nowait("b")
      assert.equal("a", async.await(getters[2]))
      assert.equal("CancelledError", failure_kind(async.await, getters[1]))
      assert.equal("b", drain(queue))
    end)
  end)

  for _, order in ipairs({ "after", "before" }) do
    it("cancelled " .. order .. " the put in the same turn, leaves the item to the next", function()
      run(function()
        local queue = async.Queue()
        local getters = start_getters(queue, 3)
        if order == "before" then getters[1]:cancel() end
        queue:put_nowait("a")
        if order == "after" then getters[1]:cancel() end
        assert.equal("CancelledError", failure_kind(async.await, getters[1]))
        assert.equal("a", async.await(getters[2]))
        assert.equal("waiting", getters[3]:state())
        queue:put_nowait("b")
        assert.equal("b", async.await(getters[3]))
        assert.is_true(queue:empty())
      end)
    end)
  end

  it("cancelled in that turn with all others, leaves the items in order, within the bound", function()
    run(function()
      local queue = async.Queue(2)
      local getters = start_getters(queue, 2)
      queue:put_nowait("a")
      queue:put_nowait("b")
      assert.is_true(queue:full())
      assert.equal("QueueFull", failure_kind(queue.put_nowait, queue, "c"))
      for _, getter in ipairs(getters) do getter:cancel() end
      async.wait(getters)
      assert.equal(2, queue:qsize())
      assert.equal("a b", drain(queue))
    end)
  end)

  it("with a deadline leaves no getter behind and loses no item", function()
    run(function()
      local queue = async.Queue()
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() return queue:get() end, 0.002))
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, queue.get, queue))
      assert.equal(0, queue:statistics().getters)
      queue:put_nowait("a")
      assert.equal("a", async.wait_for(function() return queue:get() end, 60))
      local task = async.create_task(function()
        return failure_kind(async.wait_for, function() queue:get() end, 0.002)
      end)
      settle()
      helpers.spin(0.01)
      queue:put_nowait("b")
      local got = async.await(task) == "nothing" and 1 or 0
      assert.equal(1, got + queue:qsize())
    end)
  end)
end)

describe("Queue put", function()
  it("waits for a slot, and slots go to the putters in the order in which they came", function()
    run(function()
      local queue = filled(1, "a")
      local putters = start_putters(queue, "b", "c", "d")
      assert.equal(3, queue:statistics().putters)
      local log = helpers.log()
      for _ = 1, 4 do log(queue:get()) end
      assert.equal("a b c d", tostring(log))
      async.gather(putters)
      assert.is_true(queue:empty())
      assert.equal(4, queue:statistics().unfinished)
    end)
  end)

  it("lets no newcomer take the slot that is promised to a woken putter", function()
    run(function()
      local queue = filled(1, "a")
      local putter = start_putters(queue, "b")[1]
      assert.equal("a", queue:get_nowait())
      assert.is_true(queue:full())
      assert.is_true(queue:empty())
      assert.equal("QueueFull", failure_kind(queue.put_nowait, queue, "newcomer"))
      local newcomer = async.create_task(function() queue:put("c") end)
      async.await(putter)
      settle()
      assert.equal("waiting", newcomer:state())
      assert.equal("b", queue:get())
      async.await(newcomer)
      assert.equal("c", drain(queue))
    end)
  end)

  it("cancelled, adds nothing", function()
    run(function()
      local queue = filled(1, "a")
      local putters = start_putters(queue, "b", "c", "d")
      putters[1]:cancel()
      putters[3]:cancel()
      settle()
      assert.equal(1, queue:statistics().putters)
      assert.equal("a", queue:get())
      async.await(putters[2])
      assert.equal("CancelledError", failure_kind(async.await, putters[1]))
      assert.equal("c", drain(queue))
      assert.equal(2, queue:statistics().unfinished)
    end)
  end)

  for _, order in ipairs({ "after", "before" }) do
    it("cancelled " .. order .. " the get in the same turn, leaves the slot to the next", function()
      run(function()
        local queue = filled(1, "a")
        local putters = start_putters(queue, "b", "c", "d")
        if order == "before" then putters[1]:cancel() end
        assert.equal("a", queue:get_nowait())
        if order == "after" then putters[1]:cancel() end
        assert.equal("CancelledError", failure_kind(async.await, putters[1]))
        async.await(putters[2])
        settle()
        assert.equal("waiting", putters[3]:state())
        assert.equal("c", queue:get())
        async.await(putters[3])
        assert.equal("d", drain(queue))
      end)
    end)
  end

  it("cancelled in that turn with all others, leaves the slot free", function()
    run(function()
      local queue = filled(1, "a")
      local putters = start_putters(queue, "b", "c")
      queue:get_nowait()
      for _, putter in ipairs(putters) do putter:cancel() end
      async.wait(putters)
      assert.is_false(queue:full())
      queue:put_nowait("d")
      assert.equal("d", drain(queue))
    end)
  end)

  it("with a deadline leaves no putter behind and adds nothing", function()
    run(function()
      local queue = filled(1, "a")
      assert.equal("TimeoutError", failure_kind(async.wait_for, function() queue:put("b") end, 0.002))
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.002, queue.put, queue, "b"))
      assert.same({ 0, 1 }, { queue:statistics().putters, queue:statistics().unfinished })
      local task = async.create_task(function()
        return failure_kind(async.wait_for, function() queue:put("c") end, 0.002)
      end)
      settle()
      helpers.spin(0.01)
      queue:get_nowait()
      local put = async.await(task) == "nothing" and 1 or 0
      assert.equal(put, queue:qsize())
      assert.is_true(queue:full() == (put == 1))
    end)
  end)

  it("never makes the queue larger than maxsize, whoever is cancelled", function()
    run(function()
      local queue = async.Queue(1)
      local getter = start_getters(queue, 1)[1]
      queue:put_nowait("a")
      assert.equal("QueueFull", failure_kind(queue.put_nowait, queue, "b"))
      local putter = async.create_task(function() queue:put("b") end)
      getter:cancel()
      settle()
      assert.equal(1, queue:qsize())
      assert.equal("waiting", putter:state())
      assert.equal("a", queue:get())
      assert.equal("b", queue:get())
      async.await(putter)
    end)
  end)

  it("and get keep each other going through a small queue", function()
    run(function()
      local queue, got, n = async.Queue(3), {}, 2000
      async.gather(function()
        for i = 1, n do queue:put(i) end
      end, function()
        for i = 1, n do
          assert.is_true(queue:qsize() <= 3)
          got[i] = queue:get()
        end
      end)
      for i = 1, n do assert.equal(i, got[i]) end
    end)
  end)
end)

describe("Queue join", function()
  it("does not wait where nothing was put, or all is done", function()
    local queue = async.Queue()
    queue:join()
    queue:put_nowait(1)
    queue:get_nowait()
    queue:task_done()
    queue:join()
    assert.equal(0, queue:statistics().unfinished)
  end)

  it("waits until all items are done, not only taken; all joiners go on together", function()
    run(function()
      local queue, log = filled(0, "a", "b"), helpers.log()
      local joiners = {}
      for i = 1, 3 do
        joiners[i] = async.create_task(function()
          queue:join()
          log(i)
        end)
      end
      settle()
      assert.equal(3, queue:statistics().joiners)
      queue:get()
      queue:get()
      queue:task_done()
      settle()
      assert.equal("", tostring(log))
      assert.equal(1, queue:statistics().unfinished)
      queue:task_done()
      async.gather(joiners)
      assert.equal("1 2 3", tostring(log))
    end)
  end)

  it("cancelled, leaves, before or in the turn of the last task_done", function()
    run(function()
      local queue = filled(0, "a")
      local joiners = {}
      for i = 1, 3 do joiners[i] = async.create_task(function() return queue:join() end) end
      settle()
      joiners[1]:cancel()
      settle()
      assert.equal(2, queue:statistics().joiners)
      queue:task_done()
      joiners[2]:cancel()
      async.wait(joiners)
      assert.is_true(joiners[1]:cancelled())
      assert.is_true(joiners[2]:cancelled())
      assert.is_false(joiners[3]:cancelled())
    end)
  end)

  it("counts items that are put again, and those that wait for a slot only once they are in", function()
    run(function()
      local queue = filled(1, "a")
      local putter = start_putters(queue, "b")[1]
      assert.equal(1, queue:statistics().unfinished)
      queue:get_nowait()
      local joined = false
      local joiner = async.create_task(function()
        queue:join()
        joined = true
      end)
      async.await(putter)
      queue:task_done()
      settle()
      assert.is_false(joined)
      queue:get_nowait()
      queue:task_done()
      async.await(joiner)
      assert.is_true(joined)
    end)
  end)

  it("goes with a ValueError of task_done where that is called too often", function()
    local queue = async.Queue()
    assert.equal("ValueError", failure_kind(queue.task_done, queue))
    queue:put_nowait(1)
    queue:task_done()
    assert.equal("ValueError", failure_kind(queue.task_done, queue))
    assert.equal(0, queue:statistics().unfinished)
    assert.equal(1, queue:qsize())
  end)
end)

describe("Queue shutdown", function()
  it("lets what is in the queue be got, and nothing be put", function()
    run(function()
      local queue = filled(0, "a", "b")
      queue:shutdown()
      assert.equal("QueueShutDown", failure_kind(queue.put, queue, "c"))
      assert.equal("QueueShutDown", failure_kind(queue.put_nowait, queue, "c"))
      assert.equal("a", queue:get())
      assert.equal("b", queue:get_nowait())
      assert.equal("QueueShutDown", failure_kind(queue.get, queue))
      assert.equal("QueueShutDown", failure_kind(queue.get_nowait, queue))
      assert.equal(2, queue:statistics().unfinished)
      queue:shutdown()
      assert.is_true(queue:statistics().shut_down)
    end)
  end)

  it("at once throws the items away, which count as done", function()
    run(function()
      local queue = filled(0, "a", "b", "c")
      queue:get()
      local joiner = async.create_task(function() queue:join() end)
      settle()
      queue:shutdown(true)
      assert.equal(0, queue:qsize())
      assert.equal("QueueShutDown", failure_kind(queue.get, queue))
      settle()
      assert.equal("waiting", joiner:state())
      assert.equal(1, queue:statistics().unfinished)
      queue:task_done()
      async.await(joiner)
      assert.equal("ValueError", failure_kind(queue.task_done, queue))
    end)
  end)

  it("at once, of items that were all reported as done before, wakes no joiner twice", function()
    local queue = filled(0, "a", "b")
    queue:task_done()
    queue:task_done()
    queue:shutdown(true)
    assert.equal(0, queue:statistics().unfinished)
    queue:join()
  end)

  for _, immediate in ipairs({ false, true }) do
    local how = immediate and " at once" or ""

    it(how .. " wakes all getters of an empty queue", function()
      run(function()
        local queue = async.Queue()
        local getters = start_getters(queue, 3)
        queue:shutdown(immediate)
        for _, getter in ipairs(getters) do assert.equal("QueueShutDown", failure_kind(async.await, getter)) end
        assert.same({ 0, true }, { queue:statistics().waiters, queue:empty() })
      end)
    end)

    it(how .. " wakes all putters of a full one, whose items are not added", function()
      run(function()
        local queue = filled(1, "a")
        local putters = start_putters(queue, "b", "c")
        queue:shutdown(immediate)
        for _, putter in ipairs(putters) do assert.equal("QueueShutDown", failure_kind(async.await, putter)) end
        assert.equal(immediate and "" or "a", drain(queue))
      end)
    end)

    it(how .. " refuses the item of a putter that had been promised a slot", function()
      run(function()
        local queue = filled(1, "a")
        local putters = start_putters(queue, "b", "c")
        assert.equal("a", queue:get_nowait())
        queue:shutdown(immediate)
        for _, putter in ipairs(putters) do assert.equal("QueueShutDown", failure_kind(async.await, putter)) end
        assert.is_true(queue:empty())
        assert.equal(1, queue:statistics().unfinished)
      end)
    end)

    it(how .. " in the turn in which a getter is cancelled leaves no getter behind", function()
      run(function()
        local queue = async.Queue()
        local getters = start_getters(queue, 3)
        queue:put_nowait("a")
        queue:shutdown(immediate)
        getters[1]:cancel()
        assert.equal("CancelledError", failure_kind(async.await, getters[1]))
        if immediate then
          assert.equal("QueueShutDown", failure_kind(async.await, getters[2]))
        else
          assert.equal("a", async.await(getters[2]))
        end
        assert.equal("QueueShutDown", failure_kind(async.await, getters[3]))
      end)
    end)
  end

  it("keeps the item that a getter was promised, and sends the others away when it is taken", function()
    run(function()
      local queue = async.Queue()
      local getters = start_getters(queue, 3)
      queue:put_nowait("a")
      queue:shutdown()
      local late = async.create_task(function() return queue:get() end)
      assert.equal("a", async.await(getters[1]))
      for _, getter in ipairs({ getters[2], getters[3], late }) do
        assert.equal("QueueShutDown", failure_kind(async.await, getter))
      end
    end)
  end)

  it("at once takes away the item that a getter was promised", function()
    run(function()
      local queue = async.Queue()
      local getters = start_getters(queue, 2)
      queue:put_nowait("a")
      queue:shutdown(true)
      for _, getter in ipairs(getters) do assert.equal("QueueShutDown", failure_kind(async.await, getter)) end
      assert.equal(0, queue:statistics().unfinished)
      queue:join()
    end)
  end)

  it("leaves joiners waiting for the items that are left", function()
    run(function()
      local queue = filled(0, "a")
      local joiner = async.create_task(function() queue:join() end)
      settle()
      queue:shutdown()
      settle()
      assert.equal("waiting", joiner:state())
      queue:get()
      queue:task_done()
      async.await(joiner)
    end)
  end)

  it("at once wakes joiners where nobody has an item in hand", function()
    run(function()
      local queue = filled(0, "a", "b")
      local joiner = async.create_task(function() queue:join() end)
      settle()
      queue:shutdown(true)
      async.await(joiner)
    end)
  end)

  it("at once may follow the gentle one", function()
    local queue = filled(0, "a")
    queue:shutdown()
    assert.equal(1, queue:qsize())
    queue:shutdown(true)
    assert.equal("QueueShutDown", failure_kind(queue.get_nowait, queue))
  end)
end)

describe("Queue iter", function()
  it("goes over the items as they come, until the queue is shut down and drained", function()
    run(function()
      local queue, log = async.Queue(2), helpers.log()
      local consumer = async.create_task(function()
        for item in queue:iter() do log(item) end
        log("end")
      end)
      for i = 1, 5 do queue:put(i) end
      queue:shutdown()
      async.await(consumer)
      assert.equal("1 2 3 4 5 end", tostring(log))
      for _ in queue:iter() do log("more") end
      assert.equal("1 2 3 4 5 end", tostring(log))
    end)
  end)

  it("shares the items with others", function()
    run(function()
      local queue, seen, workers = async.Queue(2), {}, {}
      for w = 1, 3 do
        workers[w] = async.create_task(function()
          local n = 0
          for item in queue:iter() do
            seen[item] = (seen[item] or 0) + 1
            n = n + 1
            async.sleep(0)
            queue:task_done()
          end
          return n
        end)
      end
      for i = 1, 30 do queue:put(i) end
      queue:join()
      queue:shutdown()
      local counts = async.gather(workers)
      assert.equal(30, counts[1] + counts[2] + counts[3])
      for i = 1, 30 do assert.equal(1, seen[i]) end
      for _, n in ipairs(counts) do assert.is_true(n > 0) end
    end)
  end)

  it("ends in each that waits when the queue is shut down", function()
    for _, immediate in ipairs({ false, true }) do
      run(function()
        local queue, ended = async.Queue(), 0
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = async.create_task(function()
            for _ in queue:iter() do error("no item was put") end
            ended = ended + 1
          end)
        end
        settle()
        queue:shutdown(immediate)
        async.gather(tasks)
        assert.equal(3, ended)
      end)
    end
  end)

  it("can be left and cancelled without losing an item", function()
    run(function()
      local queue = filled(0, "a", "b")
      local last
      for item in queue:iter() do
        last = item
        if item == "a" then break end
      end
      assert.equal("a", last)
      assert.equal("b", drain(queue))
      local task = async.create_task(function() for _ in queue:iter() do error("no item was put") end end)
      settle()
      queue:put_nowait("c")
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.equal("c", drain(queue))
    end)
  end)
end)

describe("waiting for a Queue", function()
  it("needs a task, and leaves the queue as it was without one", function()
    local queue = filled(1, "a")
    assert.equal("RuntimeError", failure_kind(queue.put, queue, "b"))
    assert.equal("RuntimeError", failure_kind(queue.join, queue))
    assert.equal("a", queue:get())
    assert.equal("RuntimeError", failure_kind(queue.get, queue))
    queue:put("c")
    assert.equal("c", drain(queue))
    assert.equal(0, queue:statistics().waiters)
    run(function()
      assert.matches("table.sort", failure_text(table.sort, { 2, 1 }, function() return queue:get() end), 1, true)
      assert.matches("std.coroutine", failure_text(coroutine.wrap(function() queue:get() end)), 1, true)
      assert.equal(0, queue:statistics().getters)
    end)
  end)

  it("is possible in a coroutine of luawait.std", function()
    run(function()
      local queue = async.Queue(1)
      local task = async.create_task(function()
        return std.coroutine.wrap(function()
          local item = queue:get()
          queue:put(item .. 1)
          queue:put(item .. 2)
          queue:join()
          return "joined"
        end)()
      end)
      settle()
      queue:put("a")
      settle()
      assert.equal("a1", queue:get())
      assert.equal("a2", queue:get())
      for _ = 1, 3 do queue:task_done() end
      assert.equal("joined", async.await(task))
    end)
  end)

  it("is ended by a callback", function()
    run(function()
      local queue = async.Queue(1)
      async.call_soon(function() queue:put("from a callback") end)
      assert.equal("from a callback", queue:get())
    end)
  end)

  it("ends with the run, and the queue can be used in the next", function()
    local queue = async.Queue(1)
    helpers.run(function() -- which does not wait for anybody to take it
      start_getters(queue, 2)
      queue:put("promised")
    end)
    assert.equal(0, queue:statistics().waiters)
    assert.equal("promised", queue:get_nowait())
    run(function()
      queue:put("a")
      start_putters(queue, "b")
    end, helpers.leaving_tasks)
    assert.equal(0, queue:statistics().waiters)
    assert.equal("a", run(function() return queue:get() end))
  end)

  it("keeps the queue alive, and lets it go with its task", function()
    local weak = setmetatable({}, { __mode = "k" })
    run(function()
      local task
      do
        local queue = async.Queue()
        weak[queue] = true
        task = start_getters(queue, 1)[1]
      end
      helpers.collect_garbage()
      assert.is_true(next(weak) ~= nil)
      task:cancel()
      async.wait({ task })
    end)
    helpers.collect_garbage()
    assert.is_nil(next(weak))
  end)

  it("is described: by statistics, tostring and waiting_on", function()
    run(function()
      local queue = async.Queue(2)
      assert.equal("<Queue size=0 of 2 getters=0 putters=0>", tostring(queue))
      assert.equal("<LifoQueue size=0 getters=0 putters=0>", tostring(async.LifoQueue()))
      assert.equal("<PriorityQueue size=0 getters=0 putters=0>", tostring(async.PriorityQueue()))
      assert.same({ size = 0, maxsize = 2, unfinished = 0, waiters = 0, getters = 0, putters = 0, joiners = 0,
        shut_down = false }, queue:statistics())
      local getter = start_getters(queue, 1)[1]
      assert.equal("get from a Queue (size 0 of 2, 0 unfinished, 1 waiting)", getter:waiting_on())
      queue:put("a")
      async.await(getter)
      queue:put("b")
      queue:put("c")
      local putters = start_putters(queue, "d", "e")
      local joiner = async.create_task(function() queue:join() end)
      settle()
      assert.equal("put into a Queue (size 2 of 2, 3 unfinished, 2 waiting)", putters[1]:waiting_on())
      assert.equal("join of a Queue (size 2 of 2, 3 unfinished, 1 waiting)", joiner:waiting_on())
      assert.equal("<Queue size=2 of 2 getters=0 putters=2>", tostring(queue))
      assert.same({ size = 2, maxsize = 2, unfinished = 3, waiters = 2, getters = 0, putters = 2, joiners = 1,
        shut_down = false }, queue:statistics())
      queue:shutdown(true)
      assert.equal("<Queue size=0 of 2 getters=0 putters=0 shut down>", tostring(queue))
      async.wait(putters)
      for _, putter in ipairs(putters) do assert.equal("QueueShutDown", helpers.kind(putter:exception())) end
    end, helpers.leaving_tasks)
  end)

  it("that nobody can end is a DeadlockError that names it and its size", function()
    local function deadlock(fn)
      local err = failure(async.run, fn)
      assert.equal("DeadlockError", helpers.kind(err))
      return err.message
    end
    assert.matches("get from a PriorityQueue (size 0, 0 unfinished, 1 waiting)",
      deadlock(function() async.PriorityQueue():get() end), 1, true)
    assert.matches("put into a Queue (size 1 of 1, 1 unfinished, 1 waiting)",
      deadlock(function() filled(1, "a"):put("b") end), 1, true)
    assert.matches("join of a Queue (size 1, 1 unfinished, 1 waiting)",
      deadlock(function() filled(0, "a"):join() end), 1, true)
  end)
end)
