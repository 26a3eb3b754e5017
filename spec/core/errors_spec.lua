local async = require "luawait"
local helpers = require "spec.support.helpers"

local errors = async.errors
local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, collect, settle = helpers.run, helpers.collect, helpers.settle

describe("errors.class", function()
  it("makes classes whose instances have name, message and the fields", function()
    local HTTPError = errors.class("HTTPError")
    local err = HTTPError("not found", { status = 404, url = "/x" })
    assert.equal("HTTPError", err.name)
    assert.equal("not found", err.message)
    assert.equal(404, err.status)
    assert.equal("/x", err.url)
    assert.equal("HTTPError: not found", tostring(err))
  end)

  it("gives an empty message where there is none", function()
    local Plain = errors.class("Plain")
    for _, err in ipairs({ Plain(), Plain(nil), Plain(""), Plain(nil, { code = 5 }) }) do
      assert.equal("", err.message)
      assert.equal("Plain", tostring(err))
    end
    assert.equal(5, Plain(nil, { code = 5 }).code)
  end)

  it("copies the fields, so that instances share nothing", function()
    local Plain, fields = errors.class("Plain"), { code = 1 }
    local a, b = Plain("a", fields), Plain("b", fields)
    fields.code = 2
    a.code = 3
    assert.equal(1, b.code)
  end)

  it("makes children of a parent, Error by default", function()
    local Parent = errors.class("Parent")
    local Child = errors.class("Child", Parent)
    local Apart = errors.class("Apart", errors.BaseError)
    assert.is_true(errors.is(Child(), Child))
    assert.is_true(errors.is(Child(), Parent))
    assert.is_true(errors.is(Child(), errors.Error))
    assert.is_true(errors.is(Child(), errors.BaseError))
    assert.is_false(errors.is(Parent(), Child))
    assert.is_true(errors.is(Apart(), errors.BaseError))
    assert.is_false(errors.is(Apart(), errors.Error))
  end)

  it("tells classes of the same name apart", function()
    local first, second = errors.class("Same"), errors.class("Same")
    assert.is_true(errors.is(first(), first))
    assert.is_false(errors.is(first(), second))
  end)

  it("checks its arguments", function()
    local function complaint(...)
      return failure_text(function(...) errors.class(...) end, ...)
    end
    assert.matches("bad argument #1 to 'class' (string expected", complaint(), 1, true)
    assert.matches("bad argument #1 to 'class'", complaint({}), 1, true)
    assert.matches("bad argument #2 to 'class'", complaint("X", 42), 1, true)
    assert.matches("bad argument #2 to 'class'", complaint("X", {}), 1, true)
    local Plain = errors.class("Plain")
    assert.matches("bad argument #1", failure_text(Plain, {}), 1, true)
    assert.matches("bad argument #2", failure_text(Plain, "message", 42), 1, true)
  end)
end)

describe("errors.is", function()
  it("is false for any value that is no such error", function()
    local values = {
      42, "text", true, {}, print, io.stdout, coroutine.create(print), errors.ValueError, errors.ValueError("other"),
      setmetatable({}, { __index = function() error("touched") end }), { name = "TimeoutError", message = "fake" },
    }
    for _, value in ipairs(values) do assert.is_false(errors.is(value, errors.TimeoutError)) end
    assert.is_false(errors.is(nil, errors.TimeoutError))
    assert.is_false(errors.is(false, errors.TimeoutError))
  end)

  it("wants a class as its second argument", function()
    local function complaint(...)
      return failure_text(function(...) errors.is(...) end, ...)
    end
    for _, wrong in ipairs({ 42, "TimeoutError", {}, errors.TimeoutError() }) do
      assert.matches("bad argument #2 to 'is'", complaint(errors.TimeoutError(), wrong), 1, true)
    end
    assert.matches("bad argument #2 to 'is'", complaint(errors.TimeoutError()), 1, true)
  end)
end)

describe("the built-in classes", function()
  local below_error = {
    "TimeoutError", "RuntimeError", "ValueError", "InvalidStateError", "DeadlockError", "QueueEmpty", "QueueFull",
    "QueueShutDown", "BrokenBarrierError", "ExceptionGroup", "OSError", "IncompleteReadError", "LimitOverrunError",
    "ProcessError",
  }

  it("stand in errors and in the module, with their names", function()
    for _, name in ipairs({ "BaseError", "CancelledError", "KeyboardInterrupt", "Error", table.unpack(below_error) }) do
      assert.is_truthy(errors[name], name)
      assert.is_true(rawequal(errors[name], async[name]), name)
      assert.equal(name .. ": text", tostring(errors[name]("text")))
      assert.equal(name, errors[name]().name)
    end
  end)

  it("have the parents of the contract", function()
    for _, name in ipairs(below_error) do
      local err = errors[name]()
      assert.is_true(errors.is(err, errors.Error), name)
      assert.is_true(errors.is(err, errors.BaseError), name)
      assert.is_false(errors.is(err, errors.CancelledError), name)
    end
    for _, name in ipairs({ "CancelledError", "KeyboardInterrupt" }) do
      assert.is_true(errors.is(errors[name](), errors.BaseError), name)
      assert.is_false(errors.is(errors[name](), errors.Error), name)
    end
    assert.is_true(errors.is(errors.Error(), errors.BaseError))
    assert.is_false(errors.is(errors.BaseError(), errors.Error))
  end)
end)

describe("the text of an error", function()
  it("can be joined to other text, from both sides", function()
    local err = async.ValueError("x")
    assert.equal("it said ValueError: x", "it said " .. err)
    assert.equal("ValueError: x, it said", err .. ", it said")
  end)

  it("tells a message of any type", function()
    local message = setmetatable({}, { __tostring = function() return "an object" end })
    local err = async.ValueError("x")
    err.message = message
    assert.equal("ValueError: an object", tostring(err))
  end)

  it("of its class names that", function()
    assert.equal("<error class ValueError>", tostring(async.ValueError))
    assert.equal("<error class Mine>", tostring(errors.class("Mine")))
  end)
end)

describe("an error that a task raises", function()
  local function each_road(value, check)
    local function bad()
      async.sleep(0)
      error(value, 0)
    end
    check("task", failure(async.await, async.create_task(bad)))
    check("coroutine", failure(async.await, async(bad)()))
    check("gather", failure(async.gather, async(bad)()))
    check("gather of a table", failure(async.gather, { bad }))
    check("return_exceptions", async.gather({ bad }, { return_exceptions = true })[1].error)
    check("wait_for", failure(async.wait_for, async(bad)(), 3600))
    check("timeout", failure(async.timeout, 3600, bad))
    check("shield", failure(async.shield, async(bad)()))
    check("group", failure(async.task_group, function(tg) tg:create_task(bad) end).errors[1])
    for task in async.as_completed({ bad }) do check("as_completed", task:exception()) end
    local done = async.wait({ bad })
    check("wait", failure(done[1].result, done[1]))
  end

  it("arrives as the very same value by every road", function()
    local values = {
      async.ValueError("object"), { code = 5 }, "text", 42, 1.5, true, print, io.stdout, coroutine.create(print),
      setmetatable({}, { __tostring = function() error("no text") end }),
    }
    run(function()
      for _, value in ipairs(values) do
        each_road(value, function(road, err) assert.is_true(rawequal(value, err), road) end)
      end
    end)
    for _, value in ipairs(values) do
      assert.is_true(rawequal(value, failure(async.run, function() error(value, 0) end)))
    end
  end)

  it("may be false", function()
    local ok, err = pcall(async.run, function() error(false) end)
    assert.is_false(ok)
    assert.equal(false, err)
    run(function()
      local task_ok, task_err = pcall(async.await, async.create_task(function() error(false) end))
      assert.is_false(task_ok)
      assert.equal(false, task_err)
    end)
  end)

  it("is RuntimeError for nil, by every road that goes through a task", function()
    run(function()
      local function bad() error(nil) end
      for _, road in ipairs({
        function() async.await(async.create_task(bad)) end, function() async.gather(async(bad)()) end,
        function() async.shield(bad) end,
      }) do
        assert.equal("RuntimeError: error object is nil", failure_text(road))
      end
    end)
  end)

  it("keeps the position that error() added", function()
    run(function()
      local body = load("local async = ... async.sleep(0)\nerror('here')", "@demo.lua")
      assert.equal("demo.lua:2: here", failure(async.await, async(body)(async)))
    end)
  end)
end)

describe("a Failure", function()
  it("holds the error and the traceback of where it was raised", function()
    run(function()
      local bad = load([[
local async, err = ...
local function raiser()
  error(err)
end
return function()
  async.sleep(0)
  raiser()
  return true
end]], "@demo.lua")
      local err = async.ValueError("x")
      local children = { bad(async, err), async.create_task(bad(async, "text")) }
      local result = async.gather(children, { return_exceptions = true })
      assert.is_true(rawequal(err, result[1].error))
      assert.equal("demo.lua:3: text", result[2].error)
      for _, failed in ipairs(result) do
        assert.is_true(async.is_failure(failed))
        assert.matches("demo.lua:3:", failed.traceback, 1, true)
        assert.matches("demo.lua:7:", failed.traceback, 1, true)
        assert.matches("raiser", failed.traceback, 1, true)
      end
      assert.matches("ValueError: x", tostring(result[1]), 1, true)
    end)
  end)

  it("has two fields, and no others", function()
    helpers.run(function()
      local slot = async.gather({ function() error("x", 0) end }, { return_exceptions = true })[1]
      assert.equal("x", slot.error)
      assert.is_string(slot.traceback)
      assert.is_nil(slot.message)
      assert.is_nil(slot[1])
      assert.is_nil(slot[{}])
    end)
  end)

  it("is told from all other values by is_failure", function()
    for _, value in ipairs({ 42, "x", {}, async.ValueError(), io.stdout, { error = 1, traceback = "x" } }) do
      assert.is_false(async.is_failure(value))
    end
    assert.is_false(async.is_failure(nil))
  end)
end)

describe("a failure that nobody retrieved", function()
  it("is reported when run ends, once, with task, error and traceback", function()
    local err, task = async.ValueError("lost"), nil
    local reports, ok = collect(function(reports)
      task = async.create_task(function()
        async.sleep(0)
        error(err)
      end, { name = "loser" })
      settle()
      assert.equal(0, #reports)
    end)
    assert.is_true(ok)
    assert.equal(1, #reports)
    assert.is_true(rawequal(task, reports[1].task))
    assert.is_true(rawequal(err, reports[1].error))
    assert.matches("errors_spec.lua", reports[1].traceback, 1, true)
    assert.equal("string", type(reports[1].message))
    assert.matches("loser", reports[1].message, 1, true)
  end)

  it("is reported once, also when the task was collected before", function()
    local reports = collect(function()
      async.create_task(function() error("lost", 0) end)
      settle()
      helpers.collect_garbage()
      settle()
    end)
    assert.equal(1, #reports)
    assert.equal("lost", reports[1].error)
    helpers.collect_garbage()
    assert.equal(1, #reports)
  end)

  it("is not reported where the report of another has led to it", function()
    local reports = {}
    async.run(function()
      local tasks = {}
      async.set_exception_handler(function(info)
        reports[#reports + 1] = info
        for _, task in ipairs(tasks) do task:exception() end
      end)
      for i = 1, 3 do
        tasks[i] = async.create_task(function() error(i, 0) end)
      end
      settle()
    end)
    assert.equal(1, #reports)
    assert.equal(1, reports[1].error)
  end)

  it("is reported for each task", function()
    local reports = collect(function()
      for i = 1, 3 do
        async.create_task(function() error(i, 0) end)
      end
      settle()
    end)
    assert.equal(3, #reports)
  end)

  it("is reported for a future too", function()
    local fut
    local reports = collect(function()
      fut = async.Future()
      fut:set_exception("lost")
      settle()
    end)
    assert.equal(1, #reports)
    assert.equal("lost", reports[1].error)
    assert.is_true(rawequal(fut, reports[1].future))
  end)

  it("is reported also when the main task failed", function()
    local reports, ok, err = collect(function()
      async.create_task(function() error("lost", 0) end)
      settle()
      error("main", 0)
    end)
    assert.is_false(ok)
    assert.equal("main", err)
    assert.equal(1, #reports)
    assert.equal("lost", reports[1].error)
  end)

  it("is reported also after a wait that only looked whether it is done", function()
    local reports = collect(function()
      local task = async.create_task(function() error("lost", 0) end)
      async.wait({ task })
      assert.is_true(task:done())
      assert.is_false(task:cancelled())
    end)
    assert.equal(1, #reports)
  end)

  it("is not reported once somebody retrieved it, in whatever way", function()
    run(function()
      for i, retrieve in ipairs({
        function(task) failure(task.result, task) end,
        function(task) return task:exception() end,
        function(task) failure(async.await, task) end,
        function(task) failure(async.gather, task) end,
        function(task) async.gather({ task }, { return_exceptions = true }) end,
        function(task) failure(async.wait_for, task, 3600) end,
        function(task) failure(async.shield, task) end,
        function(task) async.await(async.create_task(function() failure(async.await, task) end)) end,
      }) do
        if i > 2 then retrieve(async.create_task(function() error("x", 0) end)) end
        local task = async.create_task(function() error("x", 0) end)
        settle()
        retrieve(task)
        local fut = async.Future()
        fut:set_exception("x")
        retrieve(fut)
      end
    end)
  end)

  it("is not reported for a task that was cancelled", function()
    run(function()
      async.create_task(helpers.forever)
      local task = async.create_task(helpers.forever)
      settle()
      task:cancel()
      settle()
    end)
  end)

  it("is not reported for the second child of a gather that failed already", function()
    run(function()
      local function fail(delay) return async(function() async.sleep(delay) error("x", 0) end)() end
      failure(async.gather, fail(0), fail(0.002))
      async.sleep(0.01)
    end)
  end)
end)

describe("the exception handler", function()
  it("gets what a callback raised, and the loop goes on", function()
    local err = async.ValueError("in a callback")
    local went_on = false
    local reports, ok = collect(function()
      async.call_soon(function() error(err) end)
      async.call_later(0.001, error, "later", 0)
      async.call_soon(function() went_on = true end)
      async.sleep(0.01)
    end)
    assert.is_true(ok)
    assert.is_true(went_on)
    assert.equal(2, #reports)
    assert.is_true(rawequal(err, reports[1].error))
    assert.matches("errors_spec.lua", reports[1].traceback, 1, true)
    assert.equal("string", type(reports[1].message))
    assert.equal("later", reports[2].error)
  end)

  it("gets any value that a callback raised", function()
    local values = { {}, "text", 42, io.stdout }
    local reports = collect(function()
      for _, value in ipairs(values) do async.call_soon(error, value, 0) end
      settle()
    end)
    assert.equal(#values, #reports)
    for i, value in ipairs(values) do assert.is_true(rawequal(value, reports[i].error)) end
  end)

  it("runs outside of any task and cannot wait", function()
    local task, kind = "none", nil
    async.run(function()
      async.set_exception_handler(function()
        task = async.current_task()
        kind = failure_kind(async.sleep, 0)
      end)
      async.call_soon(error, "x")
      settle()
    end)
    assert.is_nil(task)
    assert.equal("RuntimeError", kind)
  end)

  it("may use the loop", function()
    local ran = false
    async.run(function()
      async.set_exception_handler(function() async.create_task(function() ran = true end) end)
      async.call_soon(error, "x")
      settle()
    end)
    assert.is_true(ran)
  end)

  it("must be a function or nil", function()
    run(function()
      local text = failure_text(async.set_exception_handler, 42)
      assert.matches("bad argument #1 to 'set_exception_handler'", text, 1, true)
    end)
  end)

  it("writes to stderr by default: message, error, traceback, name of the task", function()
    local result = helpers.child([[
async.run(function()
  async.call_soon(function() error("from a callback") end)
  async.create_task(function()
    local function raiser() error("from a task") end
    raiser()
    return 1
  end, { name = "loser" })
  async.sleep(0)
  print("went on")
end)]])
    assert.equal(0, result.status)
    assert.equal("went on\n", result.stdout)
    for _, text in ipairs({ "from a callback", "from a task", "raiser", "loser", "traceback" }) do
      assert.matches(text, result.stderr, 1, true)
    end
  end)

  it("is the default one again after nil, and in the next run", function()
    local result = helpers.child([[
local function report() print("own handler") end
async.run(function()
  async.set_exception_handler(report)
  async.call_soon(error, "one", 0)
  async.sleep(0)
  async.sleep(0)
  async.set_exception_handler(nil)
  async.call_soon(error, "two", 0)
  async.sleep(0)
  async.sleep(0)
  async.set_exception_handler(report)
end)
async.run(function()
  async.call_soon(error, "three", 0)
  async.sleep(0)
  async.sleep(0)
end)]])
    assert.equal(0, result.status)
    assert.equal("own handler\n", result.stdout)
    assert.is_nil(result.stderr:find("one", 1, true))
    assert.matches("two", result.stderr, 1, true)
    assert.matches("three", result.stderr, 1, true)
  end)

  it("that fails itself is reported to stderr with the original error, and the loop goes on", function()
    local result = helpers.child([[
async.run(function()
  async.set_exception_handler(function() error("handler broke") end)
  async.call_soon(error, "original", 0)
  async.create_task(error)
  async.sleep(0)
  async.sleep(0)
  print("went on")
end)
print("ended")]])
    assert.equal(0, result.status)
    assert.equal("went on\nended\n", result.stdout)
    assert.matches("handler broke", result.stderr, 1, true)
    assert.matches("original", result.stderr, 1, true)
  end)

  it("copes with errors that have no text", function()
    local result = helpers.child([[
local nasty = setmetatable({}, { __tostring = function() error("no text") end })
local wrong = setmetatable({}, { __tostring = function() return 42 end })
async.run(function()
  for _, err in ipairs({ nasty, wrong, {}, print, io.stdout }) do
    async.call_soon(error, err)
    async.create_task(function() error(err) end)
  end
  async.create_task(function() error(nil) end)
  async.sleep(0)
  async.sleep(0)
  print("went on")
end)]])
    assert.equal(0, result.status)
    assert.equal("went on\n", result.stdout)
    assert.matches("error object is nil", result.stderr, 1, true)
  end)
end)

describe("an error of Lua itself in a task", function()
  it("want of memory: the task fails, the loop goes on", function()
    if helpers.slow then pending("the address space cannot be limited under the sanitizers") end
    local output = helpers.child_output([[
async.run(function()
  local task = async.create_task(function()
    async.sleep(0)
    return ("x"):rep(1 << 30)
  end)
  print(pcall(async.await, task))
  local ok, err = pcall(async.await, async(string.rep)("x", 1 << 30))
  print(ok, err)
  print(async.sleep(0, "went on"))
end)]], { megabytes = 512 })
    assert.equal("false\tnot enough memory\nfalse\tnot enough memory\nwent on\n", output)
  end)

  it("stack overflow: the task fails, the loop goes on", function()
    run(function()
      local function endless() return 1 + endless() end
      local err = failure(async.await, async.create_task(function()
        async.sleep(0)
        return endless()
      end))
      assert.matches("stack overflow", tostring(err), 1, true)
      assert.matches("stack overflow", tostring(failure(async.await, async(endless)())), 1, true)
      assert.equal("went on", async.sleep(0, "went on"))
    end)
  end)

  it("C stack overflow: the task fails, the loop goes on", function()
    run(function()
      local function endless() return (string.gsub("a", ".", endless)) end
      local err = failure(async.await, async.create_task(function()
        async.sleep(0)
        return endless()
      end))
      assert.matches("stack overflow", tostring(err), 1, true)
      assert.equal("went on", async.sleep(0, "went on"))
    end)
  end)

  it("a wrong call: the error names the position", function()
    run(function()
      local body = load("local x\n\nx.field = 1", "@demo.lua")
      assert.matches("^demo%.lua:3: attempt to index a nil value", failure(async.await, async.create_task(body)))
    end)
  end)
end)
