local async = require "luawait"
local helpers = require "spec.support.helpers"
local hooks = require("luawait.core").testing

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

-- A chunk of known name, for what depends on names and lines.
local function chunk(source, ...)
  return assert(load(source, "@demo.lua"))(async, ...)
end

describe("create_task", function()
  it("starts the task at the next turn, in the order of creation", function()
    local log = helpers.log()
    run(function()
      for i = 1, 3 do async.create_task(function() log(i) end) end
      log("created")
      settle()
    end)
    assert.equal("created 1 2 3", tostring(log))
  end)

  it("takes every kind of awaitable", function()
    local object = setmetatable({}, { __await = function() return "object", 2 end })
    local results = run(function()
      local fut = async.Future()
      fut:set_result("future", 2)
      local list = {}
      for i, awaitable in ipairs({
        async(function(a, b) return a, b end)("coroutine", 2), function() return "function", 2 end, object, fut,
        async.create_task(function() return "task", 2 end),
      }) do
        list[i] = table.pack(async.await(async.create_task(awaitable)))
      end
      return list
    end)
    local names = { "coroutine", "function", "object", "future", "task" }
    for i, name in ipairs(names) do assert.same({ n = 2, name, 2 }, results[i]) end
    assert.equal(#names, #results)
  end)

  it("refuses what is not awaitable, and wrong options", function()
    run(function()
      assert.matches("bad argument #1 to 'create_task'", failure_text(async.create_task), 1, true)
      assert.matches("bad argument #1 to 'create_task'", failure_text(async.create_task, 42), 1, true)
      assert.matches("bad argument #2 to 'create_task'", failure_text(async.create_task, print, 42), 1, true)
      local text = failure_text(async.create_task, print, { name = {} })
      assert.matches("bad argument #2 to 'create_task'", text, 1, true)
      assert.matches("name", text, 1, true)
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("leaves a coroutine as it was when another argument is wrong", function()
    local value = run(function()
      local co = async(function() return "still good" end)()
      failure(async.create_task, co, 42)
      return async.await(co)
    end)
    assert.equal("still good", value)
  end)

  it("refuses a coroutine that was used before", function()
    local first, second = run(function()
      local co = async(function() return "once" end)()
      local task = async.create_task(co)
      return failure_kind(async.create_task, co), async.await(task)
    end)
    assert.equal("RuntimeError", first)
    assert.equal("once", second)
  end)

  it("needs a running loop", function()
    local co = async(function() return "later" end)()
    assert.equal("RuntimeError", failure_kind(async.create_task, co))
    assert.equal("later", async.run(co))
  end)

  it("keeps a task alive that nobody refers to", function()
    local finished = run(function()
      local ended = false
      async.create_task(function()
        for _ = 1, 3 do async.sleep(0) end
        ended = true
      end)
      helpers.collect_garbage()
      async.sleep(0)
      helpers.collect_garbage()
      settle()
      return ended
    end)
    assert.is_true(finished)
  end)

  it("lets a finished task go", function()
    run(function()
      local weak = setmetatable({}, { __mode = "k" })
      weak[async.create_task(function() return {} end)] = true
      settle()
      helpers.collect_garbage()
      assert.is_nil(next(weak))
    end)
  end)
end)

describe("a task", function()
  it("returns all results of its function, as often as asked", function()
    run(function()
      local task = async.create_task(function()
        async.sleep(0)
        return 1, nil, 3, nil
      end)
      local expected = { n = 4, 1, nil, 3, nil }
      assert.same(expected, table.pack(async.await(task)))
      assert.same(expected, table.pack(async.await(task)))
      assert.same(expected, table.pack(task:result()))
      assert.is_nil(task:exception())
    end)
  end)

  it("returns many results", function()
    local count = run(function()
      local task = async.create_task(function() return table.unpack({}, 1, 3000) end)
      return select("#", async.await(task))
    end)
    assert.equal(3000, count)
  end)

  it("raises InvalidStateError when asked for its result too early", function()
    run(function()
      local task = async.create_task(forever)
      assert.equal("InvalidStateError", failure_kind(task.result, task))
      assert.equal("InvalidStateError", failure_kind(task.exception, task))
      settle()
      assert.equal("InvalidStateError", failure_kind(task.result, task))
    end, helpers.leaving_tasks)
  end)

  it("raises its error in result and await, and gives it in exception", function()
    run(function()
      local err = async.ValueError("mine")
      local task = async.create_task(function() error(err) end)
      assert.is_true(rawequal(err, failure(async.await, task)))
      assert.is_true(rawequal(err, failure(async.await, task)))
      assert.is_true(rawequal(err, failure(task.result, task)))
      assert.is_true(rawequal(err, task:exception()))
      assert.is_true(task:done())
      assert.is_false(task:cancelled())
    end)
  end)

  it("raises CancelledError in result and exception when it was cancelled", function()
    run(function()
      local task = async.create_task(forever)
      settle()
      task:cancel("enough")
      settle()
      for _, method in ipairs({ task.result, task.exception }) do
        local err = failure(method, task)
        assert.equal("CancelledError", err.name)
        assert.equal("enough", err.message)
      end
    end)
  end)

  it("fails with RuntimeError when its function raises nil", function()
    for _, body in ipairs({ function() error(nil) end, function() error() end }) do
      local err = failure(async.run, body)
      assert.equal("RuntimeError: error object is nil", tostring(err))
      run(function()
        local task = async.create_task(body)
        assert.equal("RuntimeError: error object is nil", failure_text(async.await, task))
        assert.equal("RuntimeError", task:exception().name)
      end)
    end
  end)

  it("has no setters", function()
    run(function()
      local task = async.create_task(forever)
      assert.is_false(pcall(function() task:set_result(1) end))
      assert.is_false(pcall(function() task:set_exception("x") end))
      assert.is_false(task:done())
    end, helpers.leaving_tasks)
  end)

  it("calls its done callbacks with itself, once, on the loop", function()
    run(function()
      local calls, in_task = {}, nil
      local task = async.create_task(function() end)
      task:add_done_callback(function(...)
        calls[#calls + 1] = table.pack(...)
        in_task = async.current_task()
      end)
      settle()
      assert.equal(1, #calls)
      assert.equal(1, calls[1].n)
      assert.is_true(rawequal(task, calls[1][1]))
      assert.is_nil(in_task)
    end)
  end)

  it("cannot await itself", function()
    local kind = run(function()
      return async.await(async.create_task(function() return failure_kind(async.await, async.current_task()) end))
    end)
    assert.equal("RuntimeError", kind)
  end)

  it("checks the object that a method is called on", function()
    run(function()
      local task = async.create_task(forever)
      for _, wrong in ipairs({ 42, {}, io.stdout, async.Future() }) do
        assert.matches("bad argument #1", failure_text(task.get_name, wrong), 1, true)
      end
      assert.is_false(pcall(task.cancel))
    end, helpers.leaving_tasks)
  end)

  it("gives each its own functions, arguments and locals", function()
    local worker = async(function(first, ...)
      local sum = first
      for _, value in ipairs({ ... }) do
        async.sleep(0)
        sum = sum + value
      end
      return sum
    end)
    local a, b = run(function()
      local t1, t2 = async.create_task(worker(1, 2, 3)), async.create_task(worker(10, 20))
      return async.await(t1), async.await(t2)
    end)
    assert.equal(6, a)
    assert.equal(30, b)
  end)
end)

describe("names of tasks", function()
  it("count from Task-1, the main task, in each loop", function()
    for _ = 1, 2 do
      local names = run(function()
        local t2, t3 = async.create_task(function() end), async.create_task(function() end)
        return { async.current_task():get_name(), t2:get_name(), t3:get_name() }
      end)
      assert.same({ "Task-1", "Task-2", "Task-3" }, names)
    end
  end)

  it("can be given and changed, also when the task is done", function()
    run(function()
      local task = async.create_task(function() end, { name = "worker" })
      assert.equal("worker", task:get_name())
      task:set_name("renamed")
      assert.equal("renamed", task:get_name())
      settle()
      assert.equal("renamed", task:get_name())
      task:set_name("afterwards")
      assert.equal("afterwards", task:get_name())
      assert.matches("bad argument #1 to 'set_name'", failure_text(function() task:set_name({}) end), 1, true)
    end)
  end)

  it("stay with a task that is done", function()
    local task = run(function()
      local t = async.create_task(function() end)
      settle()
      return t
    end)
    assert.equal("Task-2", task:get_name())
  end)
end)

describe("task:state", function()
  it("tells created, running, waiting and done", function()
    run(function()
      local inside, task
      task = async.create_task(function()
        inside = task:state()
        async.sleep(0)
        forever()
      end)
      assert.equal("created", task:state())
      settle()
      assert.equal("running", inside)
      assert.equal("waiting", task:state())
      task:cancel()
      settle()
      assert.equal("cancelled", task:state())
      assert.equal("running", async.current_task():state())
    end)
  end)

  it("tells done and failed", function()
    run(function()
      local good, bad = async.create_task(function() end), async.create_task(function() error("x") end)
      settle()
      assert.equal("done", good:state())
      assert.equal("failed", bad:state())
      assert.is_truthy(bad:exception())
    end)
  end)
end)

describe("tostring of a task", function()
  local source = [[
local async = ...

local fetch = async(function() async.sleep(0) end)

return fetch, function() async.sleep(math.huge) end
]]

  it("names state, name and function", function()
    run(function()
      local fetch = chunk([[
local async = ...

local fetch = async(function() async.sleep(0) end)
return function() return async.create_task(fetch()) end]])
      local task = fetch()
      assert.equal("<Task pending name='Task-2' fn=fetch@demo.lua:3>", tostring(task))
      task:set_name("mine")
      assert.equal("<Task pending name='mine' fn=fetch@demo.lua:3>", tostring(task))
      async.sleep(0)
      assert.equal("<Task pending name='mine' fn=fetch@demo.lua:3>", tostring(task))
    end)
  end)

  it("names the file and line of a plain function", function()
    run(function()
      local _, wait = chunk(source)
      local task = async.create_task(wait)
      assert.matches("^<Task pending name='Task%-2' fn=.*demo%.lua:5>$", tostring(task))
    end, helpers.leaving_tasks)
  end)

  it("tells how a finished task ended", function()
    run(function()
      local good = async.create_task(function() end)
      local bad = async.create_task(function() error("x") end)
      local gone = async.create_task(forever)
      settle()
      gone:cancel()
      settle()
      assert.is_truthy(bad:exception())
      for word, task in pairs({ finished = good, failed = bad, cancelled = gone }) do
        assert.matches("^<Task " .. word .. " name='" .. task:get_name():gsub("%-", "%%-") .. "'", tostring(task))
      end
    end)
  end)
end)

describe("current_task and all_tasks", function()
  it("give nothing outside of a task", function()
    assert.is_nil(async.current_task())
    local current = "not called"
    run(function()
      async.call_soon(function() current = async.current_task() end)
      settle()
    end)
    assert.is_nil(current)
    assert.is_nil(async.current_task())
  end)

  it("give the running task, whatever the others do", function()
    run(function()
      local right = {}
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = async.create_task(function()
          for _ = 1, 3 do
            right[#right + 1] = rawequal(async.current_task(), tasks[i])
            async.sleep(0)
          end
        end)
      end
      async.wait(tasks)
      assert.same({ true, true, true, true, true, true, true, true, true }, right)
    end)
  end)

  it("give the task also in a coroutine and in pcall", function()
    run(function()
      local me = async.current_task()
      assert.is_true(rawequal(me, coroutine.wrap(async.current_task)()))
      assert.is_true(rawequal(me, select(2, pcall(async.current_task))))
      assert.is_true(rawequal(me, async.await(async(async.current_task)())))
    end)
  end)

  it("list the unfinished tasks, oldest first", function()
    run(function()
      local main = async.current_task()
      local a = async.create_task(forever)
      local b = async.create_task(function() async.sleep(0) end)
      local c = async.create_task(forever)
      local all = async.all_tasks()
      assert.equal(4, #all)
      for i, task in ipairs({ main, a, b, c }) do assert.is_true(rawequal(task, all[i])) end
      settle()
      local d = async.create_task(forever)
      a:cancel()
      settle()
      all = async.all_tasks()
      assert.equal(3, #all)
      for i, task in ipairs({ main, c, d }) do assert.is_true(rawequal(task, all[i])) end
    end, helpers.leaving_tasks)
  end)
end)

describe("task:get_stack", function()
  it("is a traceback of where the task waits", function()
    run(function()
      local wait = chunk([[
local async = ...
local function deep()
  async.sleep(math.huge)
end
return function()
  deep()
  return true
end]])
      local task = async.create_task(wait)
      settle()
      local stack = task:get_stack()
      assert.matches("traceback", stack, 1, true)
      assert.matches("demo.lua:3", stack, 1, true)
      assert.matches("demo.lua:6", stack, 1, true)
      assert.matches("deep", stack, 1, true)
    end, helpers.leaving_tasks)
  end)

  it("is a string whatever the state of the task", function()
    run(function()
      local task = async.create_task(function() async.sleep(0) end)
      assert.equal("string", type(task:get_stack()))
      settle()
      assert.equal("string", type(task:get_stack()))
      assert.matches("task_spec.lua", async.current_task():get_stack(), 1, true)
    end)
  end)

  it("is an empty string of a task that failed for want of memory", function()
    run(function()
      local task = async.create_task(function() hooks.fail_from_now(1) return async.Event() end)
      async.wait({ task })
      hooks.stop_failing()
      assert.equal("not enough memory", task:exception())
      assert.equal("", task:get_stack())
    end)
  end)

  it("shows where a failed task raised its error", function()
    run(function()
      local task = async.create_task(chunk("return function()\n\n  error('here')\nend"))
      settle()
      assert.matches("demo.lua:3", task:get_stack(), 1, true)
      assert.is_truthy(task:exception())
    end)
  end)

  it("goes to stderr with print_stack", function()
    local result = helpers.child([[
async.run(function()
  local function parked_here() async.sleep(math.huge) end
  local task = async.create_task(function() parked_here() return 1 end, { name = "sleeper" })
  async.sleep(0)
  async.sleep(0)
  task:print_stack()
end)]])
    assert.equal(0, result.status)
    assert.equal("", result.stdout)
    assert.matches("sleeper", result.stderr, 1, true)
    assert.matches("parked_here", result.stderr, 1, true)
  end)
end)

describe("task:waiting_on", function()
  it("tells in words what the task is parked on", function()
    run(function()
      local fut, event, sem = async.Future(), async.Event(), async.Semaphore(0)
      local other = async.create_task(forever, { name = "the other" })
      local waits = {
        { "sleep", function() async.sleep(100) end },
        { "sleep", forever },
        { "[Ff]uture", function() async.await(fut) end },
        { "the other", function() async.await(other) end },
        { "the other", function() async.await(async(function() async.await(other) end)()) end },
        { "gather", function() async.gather(async.Future(), async.Future()) end },
        { "wait", function() async.wait({ async.Future() }) end },
        { "the other", function() async.shield(other) end },
        { "[Ee]vent", function() event:wait() end },
        { "[Ss]emaphore", function() sem:acquire() end },
      }
      for i, entry in ipairs(waits) do waits[i].task = async.create_task(entry[2]) end
      settle()
      for _, entry in ipairs(waits) do assert.matches(entry[1], entry.task:waiting_on()) end
    end, { leaks = { tasks = false, futures = false } })
  end)

  it("is nil while the task is not parked", function()
    run(function()
      assert.is_nil(async.current_task():waiting_on())
      local task = async.create_task(function() end)
      assert.is_nil(task:waiting_on())
      settle()
      assert.is_nil(task:waiting_on())
    end)
  end)
end)
