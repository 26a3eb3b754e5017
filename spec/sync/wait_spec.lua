local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

local function fail() error("broken", 0) end

-- Tasks with these names that end when told to, and the function that tells: finish(name, err?).
local function controlled(...)
  local tasks, futures = {}, {}
  for i, name in ipairs({ ... }) do
    futures[name] = async.Future()
    tasks[i] = async.create_task(async(async.await)(futures[name]), { name = name })
  end
  return tasks, function(name, err)
    if futures[name]:done() then return end
    if err then
      futures[name]:set_exception(err)
    else
      futures[name]:set_result(name)
    end
  end
end

local function names(list)
  local words = {}
  for i, task in ipairs(list) do words[i] = task:get_name() end
  return table.concat(words, " ")
end

-- What async.wait says while `finish` is called with each of the steps, some turns apart.
local function outcome(tasks, opts, finish, steps)
  async.create_task(function()
    for _, step in ipairs(steps) do
      settle()
      finish(table.unpack(step))
    end
  end)
  local done, pending = async.wait(tasks, opts)
  settle()
  local result = names(done) .. " / " .. names(pending)
  for _, task in ipairs(tasks) do
    task:cancel()
    failure(async.await, task)
  end
  return result
end

describe("wait", function()
  it("lists one as often as it was given", function()
    run(function()
      local quick = async.create_task(function() end, { name = "quick" })
      local slow = async.create_task(forever, { name = "slow" })
      local done, pending = async.wait({ quick, slow, quick, slow }, { return_when = async.FIRST_COMPLETED })
      assert.equal("quick quick", names(done))
      assert.equal("slow slow", names(pending))
      slow:cancel()
    end)
  end)

  it("waits for all by default; done and pending are in input order", function()
    run(function()
      for _, opts in ipairs({ {}, { return_when = async.ALL_COMPLETED } }) do
        local tasks, finish = controlled("a", "b", "c")
        assert.equal("a b c / ", outcome(tasks, opts, finish, { { "c" }, { "a", "failed" }, { "b" } }))
      end
    end)
  end)

  it("with FIRST_COMPLETED waits for the first, done or failed", function()
    run(function()
      local opts = { return_when = async.FIRST_COMPLETED }
      local tasks, finish = controlled("a", "b", "c")
      assert.equal("b / a c", outcome(tasks, opts, finish, { { "b" }, { "a" }, { "c" } }))
      tasks, finish = controlled("a", "b", "c")
      assert.equal("c / a b", outcome(tasks, opts, finish, { { "c", "failed" }, { "a" }, { "b" } }))
    end)
  end)

  it("with FIRST_EXCEPTION waits for the first failure, or all", function()
    run(function()
      local opts = { return_when = async.FIRST_EXCEPTION }
      local tasks, finish = controlled("a", "b", "c")
      assert.equal("b c / a", outcome(tasks, opts, finish, { { "c" }, { "b", "failed" }, { "a" } }))
      tasks, finish = controlled("a", "b")
      assert.equal("a b / ", outcome(tasks, opts, finish, { { "b" }, { "a" } }))
    end)
  end)

  it("with FIRST_EXCEPTION does not take a cancellation for a failure", function()
    run(function()
      local gone, last = async.create_task(forever), async.create_task(function() async.sleep(0.002) end)
      async.call_soon(function() gone:cancel() end)
      local done, pending = async.wait({ gone, last }, { return_when = async.FIRST_EXCEPTION })
      assert.equal(2, #done)
      assert.equal(0, #pending)
    end)
  end)

  it("raises nothing, and cancels nothing", function()
    run(function()
      local bad, slow = async.create_task(fail), async.create_task(forever)
      local done, pending = async.wait({ slow, bad }, { return_when = async.FIRST_COMPLETED })
      assert.is_true(rawequal(bad, done[1]))
      assert.is_true(rawequal(slow, pending[1]))
      assert.equal("broken", bad:exception())
      settle()
      assert.is_false(slow:done())
    end, helpers.leaving_tasks)
  end)

  it("takes futures, and makes tasks of other awaitables", function()
    run(function()
      local fut = async.Future()
      fut:set_result("future")
      local object = setmetatable({}, { __await = function() return "object" end })
      local list = { fut, async(function(v) return v end)("coroutine"), function() return "function" end, object }
      local done, pending = async.wait(list)
      assert.equal(0, #pending)
      assert.is_true(rawequal(fut, done[1]))
      local results = {}
      for i, task in ipairs(done) do results[i] = task:result() end
      assert.same({ "future", "coroutine", "function", "object" }, results)
    end)
  end)

  it("leaves the list alone and returns new ones", function()
    run(function()
      local task = async.create_task(function() end)
      local list = { task }
      local done, pending = async.wait(list)
      assert.is_true(#list == 1 and rawequal(task, list[1]))
      assert.is_false(rawequal(list, done) or rawequal(list, pending))
    end)
  end)

  it("counts what is done already at once, in every mode", function()
    run(function()
      local good, bad, open = async.Future(), async.Future(), async.Future()
      good:set_result(1)
      bad:set_exception("x")
      assert.equal("x", bad:exception())
      local done, pending = async.wait({ good, bad })
      assert.equal("2 0", #done .. " " .. #pending)
      done, pending = async.wait({ open, good, bad }, { return_when = async.FIRST_COMPLETED })
      assert.equal("2 1", #done .. " " .. #pending)
      done, pending = async.wait({ open, good, bad }, { return_when = async.FIRST_EXCEPTION })
      assert.equal("2 1", #done .. " " .. #pending)
    end)
  end)
end)

describe("wait with a timeout", function()
  it("returns what is done by then, without an error", function()
    run(function()
      local quick, slow = async.create_task(function() end), async.create_task(forever)
      settle()
      local start = async.time()
      local done, pending = async.wait({ slow, quick }, { timeout = 0.01 })
      assert.is_true(async.time() - start >= 0.01)
      assert.is_true(#done == 1 and rawequal(quick, done[1]))
      assert.is_true(#pending == 1 and rawequal(slow, pending[1]))
      assert.is_false(slow:done())
    end, helpers.leaving_tasks)
  end)

  it("of zero only looks", function()
    run(function()
      local ready, open = async.Future(), async.Future()
      ready:set_result()
      local done, pending = async.wait({ open, ready }, { timeout = 0 })
      assert.is_true(#done == 1 and rawequal(ready, done[1]))
      assert.is_true(#pending == 1 and rawequal(open, pending[1]))
    end)
  end)

  it("returns before it when all is done", function()
    run(function()
      local done, pending = async.wait({ function() async.sleep(0) end }, { timeout = 3600 })
      assert.equal("1 0", #done .. " " .. #pending)
      done, pending = async.wait({ function() end, forever }, { timeout = 3600, return_when = async.FIRST_COMPLETED })
      assert.equal("1 1", #done .. " " .. #pending)
    end, helpers.leaving_tasks)
  end)

  it("of math.huge or nil is none", function()
    run(function()
      for _, opts in ipairs({ { timeout = math.huge }, {} }) do
        assert.equal(1, #async.wait({ function() async.sleep(0.001) end }, opts))
      end
    end)
  end)
end)

describe("cancelling a wait", function()
  it("raises CancelledError and leaves what was waited for", function()
    run(function()
      local fut, other = async.Future(), async.create_task(forever)
      local task = async.create_task(function() async.wait({ fut, other }, { timeout = 3600 }) end)
      settle()
      task:cancel("stop")
      assert.equal("CancelledError: stop", failure_text(async.await, task))
      assert.is_false(fut:done())
      assert.is_false(other:done())
      fut:set_result(1)
      settle()
      assert.is_false(other:done())
    end, helpers.leaving_tasks)
  end)
end)

describe("the arguments of wait", function()
  it("are checked", function()
    run(function()
      local co = async(function() return "kept" end)()
      for _, case in ipairs({
        { "bad argument #1 to 'wait' (table expected, got no value)" },
        { "bad argument #1 to 'wait' (table expected, got number)", 42 },
        { "bad argument #1 to 'wait'", { co, "x" } },
        { "ValueError: wait of an empty list", {} },
        { "bad argument #2 to 'wait'", { co }, 42 },
        { "return_when", { co }, { return_when = "SOON" } },
        { "timeout", { co }, { timeout = "x" } },
        { "timeout", { co }, { timeout = 0 / 0 } },
      }) do
        assert.matches(case[1], failure_text(async.wait, table.unpack(case, 2)), 1, true)
      end
      assert.equal("kept", async.await(co))
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("may be a list that changes its mind while it is read", function()
    run(function()
      local used = async(function() end)()
      async.await(used)
      local reads = 0
      local list = setmetatable({}, {
        __len = function() return 1 end,
        __index = function()
          reads = reads + 1
          return reads == 1 and async.sleep or used
        end,
      })
      assert.equal("RuntimeError", failure_kind(async.wait, list))
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("that were used before start nothing", function()
    run(function()
      local used, fresh = async(function() end)(), async(function() return "fresh" end)()
      async.await(used)
      assert.equal("RuntimeError", failure_kind(async.wait, { fresh, used }))
      assert.equal("fresh", async.await(fresh))
    end)
  end)

  it("need a task to wait in", function()
    assert.equal("RuntimeError", failure_kind(async.wait, { forever }))
  end)
end)
