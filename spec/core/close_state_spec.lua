-- The end of a Lua state, at any moment; and objects that outlive their run. Under the sanitizers a leak or a touch of
-- freed memory makes the child fail.
local async = require "luawait"
local helpers = require "spec.support.helpers"

local child, child_output = helpers.child, helpers.child_output

-- Tasks in every kind of wait, for a child.
local park = [[
local function park()
  local fut, event, sem = async.Future(), async.Event(), async.Semaphore(0)
  local sleeper = async.create_task(function() async.sleep(3600) end)
  for _, wait in ipairs({
    function() async.await(fut) end, function() async.await(sleeper) end, function() event:wait() end,
    function() sem:acquire() end, function() async.gather(fut, sleeper) end,
    function() async.wait({ fut, sleeper }) end,
    function() async.wait({ fut }, { timeout = 3600 }) end, function() async.shield(fut) end,
    function() async.wait_for(fut, 3600) end, function() async.timeout(3600, async.sleep, 7200) end,
    function()
      local _ <close> = async.timeout(3600)
      async.await(fut)
    end,
    function() async.task_group(function(tg) tg:create_task(sleeper) tg:create_task(fut) end) end,
    function()
      local tg <close> = async.TaskGroup()
      tg:create_task(function() async.sleep(3600) end)
    end,
    function() for _ in async.as_completed({ fut }, { timeout = 3600 }) do print("not reached") end end,
    function()
      local _ <close> = setmetatable({}, { __close = function() async.sleep(3600) end })
      async.sleep(0)
    end,
  }) do
    async.create_task(wait)
  end
  local function nothing() end
  async.call_later(3600, nothing)
  fut:add_done_callback(nothing)
  for _ = 1, 5 do async.sleep(0) end
  async.call_soon(nothing)
end
]]

describe("os.exit with closing of the state", function()
  for _, place in ipairs({
    { "in the main task", "async.run(function() park() os.exit(0, true) end)" },
    { "in another task", [[
      async.run(function()
        park()
        async.create_task(function() os.exit(0, true) end)
        async.sleep(3600)
      end)]] },
    { "in an async function, deep inside", [[
      async.run(function()
        park()
        async.gather(async(function() async.timeout(5, async.await, async(os.exit)(0, true)) end)())
      end)]] },
    { "in a callback", "async.run(function() park() async.call_soon(os.exit, 0, true) async.sleep(3600) end)" },
    { "in a timer", "async.run(function() park() async.call_later(0.001, os.exit, 0, true) async.sleep(3600) end)" },
    { "in the exception handler", [[
      async.run(function()
        park()
        async.set_exception_handler(function() os.exit(0, true) end)
        async.call_soon(error)
        async.sleep(3600)
      end)]] },
    { "in a cleanup", [[
      async.run(function()
        park()
        local task = async.create_task(function()
          local _ <close> = setmetatable({}, { __close = function() os.exit(0, true) end })
          async.sleep(3600)
        end)
        async.sleep(0)
        async.sleep(0)
        task:cancel()
        async.sleep(3600)
      end)]] },
    { "while run ends", [[
      async.run(function()
        park()
        async.create_task(function()
          pcall(async.sleep, 3600)
          os.exit(0, true)
        end)
        async.sleep(0)
        async.sleep(0)
      end)]] },
    { "in a coroutine of the user's own in a task", [[
      async.run(function()
        park()
        coroutine.wrap(function() os.exit(0, true) end)()
      end)]] },
    { "with debug mode, a watchdog and signals", [[
      async.run(function() park() os.exit(0, true) end, { debug = true, watchdog = 3600, signals = true })]] },
    { "between the runs of a Runner", [[
      local runner = async.Runner()
      runner:run(park)
      os.exit(0, true)]] },
  }) do
    it(place[1], function()
      local result = child(park .. place[2])
      assert.equal("", result.stderr)
      assert.equal("", result.stdout)
      assert.equal(0, result.status)
    end)
  end

  it("runs no task and calls no callback any more", function()
    local result = child([[
async.run(function()
  for _ = 1, 3 do
    async.create_task(function()
      async.sleep(0)
      print("not reached")
    end)
  end
  async.sleep(0)
  async.call_soon(print, "not reached")
  os.exit(3, true)
end)]])
    assert.equal("", result.stdout)
    assert.equal(3, result.status)
  end)
end)

describe("a program that ends", function()
  it("with an error out of run closes in order", function()
    local result = child(park .. "async.run(function() park() error('uncaught') end)")
    assert.equal(1, result.status)
    assert.equal("", result.stdout)
    assert.matches("uncaught", result.stderr, 1, true)
  end)

  it("with an error object out of run shows its text", function()
    local result = child("async.run(function() error(async.ValueError('uncaught')) end)")
    assert.equal(1, result.status)
    assert.matches("ValueError: uncaught", result.stderr, 1, true)
  end)

  it("with objects left over closes in order", function()
    child_output(park .. [[
left = {}
async.run(function()
  left.fut, left.event, left.sem = async.Future(), async.Event(), async.Semaphore(1)
  left.task = async.create_task(function() return {} end)
  left.parked = async.create_task(function() left.event:wait() end)
  do
    local scope <close> = async.timeout(3600)
    left.scope = scope
  end
  left.handle = async.call_later(3600, print)
  left.func = async(function() end)
  async.task_group(function(tg) left.group = tg end)
  left.results = async.gather({ function() end }, { return_exceptions = true })
  left.iterator = table.pack(async.as_completed({ left.fut }))
  park()
end)]])
  end)

  it("with timeout scopes that were never closed closes in order", function()
    child_output([[
async.run(function()
  local dropped, short = async.timeout(3600), async.timeout(0.001) -- luacheck: ignore
  left = async.timeout(3600)
end)
async.run(function() left_too = async.timeout_at(nil) end)
collectgarbage()
pcall(left.reschedule, left, 5)
async.run(function() async.sleep(0.005) end)]])
  end)

  it("without a run, with the module loaded, closes in order", function()
    child_output("left = { async(function() end), async.Event(), async.Semaphore(2), async.Runner() }")
  end)

  it("with a Runner that was never closed closes in order", function()
    child_output(park .. "runner = async.Runner() runner:run(park)")
    child_output(park .. "async.Runner():run(park) collectgarbage() collectgarbage()")
  end)

  it("may use the library in finalizers", function()
    child_output([[
local function finalizer(fn) return setmetatable({}, { __gc = fn }) end
async.run(function()
  local fut, event, sem = async.Future(), async.Event(), async.Semaphore(0)
  local task = async.create_task(function() event:wait() end)
  async.create_task(function() sem:acquire() end)
  async.create_task(function() async.await(fut) end)
  left = finalizer(function()
    event:set()
    sem:release()
    pcall(fut.set_result, fut, 1)
    task:cancel()
    assert(task:done())
    tostring(task)
    pcall(async.call_soon, print)
    pcall(async.create_task, print)
    pcall(async.run, print)
    pcall(async.Future)
  end)
  async.sleep(0)
end)]])
  end)

  it("with a coroutine never awaited says so, if anything", function()
    local result = child("left = async(function() end)()")
    assert.equal(0, result.status)
    assert.matches(result.stderr == "" and "^$" or "was never awaited", result.stderr)
  end)
end)

describe("objects that outlive their run", function()
  it("can still be asked and used, without effect on later runs", function()
    local left = {}
    helpers.run(function()
      left.fut, left.event, left.sem = async.Future(), async.Event(), async.Semaphore(0)
      left.waiting = async.create_task(function() left.event:wait() end)
      left.getting = async.create_task(function() left.sem:acquire() end)
      left.handle = async.call_later(3600, print)
      left.fut:add_done_callback(print)
      helpers.settle()
    end)
    assert.is_true(left.waiting:cancelled())
    assert.is_false(left.getting:cancel())
    assert.equal(0, left.event:statistics().waiters)
    assert.equal(0, left.sem:statistics().waiters)
    left.event:set()
    left.sem:release()
    left.handle:cancel()
    assert.equal(1, left.sem:value())
    for _, object in pairs(left) do assert.equal("string", type(tostring(object))) end
    helpers.run(function()
      left.event:wait()
      left.sem:acquire()
      helpers.settle()
      assert.equal("CancelledError", helpers.failure_kind(async.await, left.waiting))
    end)
  end)

  it("include futures that are set in a later run", function()
    local fut
    helpers.run(function() fut = async.Future() end)
    local value = helpers.run(function()
      local task = async.create_task(function() return async.await(fut) end)
      helpers.settle()
      fut:set_result("later")
      return async.await(task)
    end)
    assert.equal("later", value)
  end)

  it("include timeout scopes and groups", function()
    local scope, group
    helpers.run(function()
      do
        local t <close> = async.timeout(3600)
        scope = t
      end
      async.task_group(function(tg) group = tg end)
    end)
    assert.is_false(scope:expired())
    assert.equal("RuntimeError", helpers.failure_kind(scope.reschedule, scope, 1))
    assert.equal("RuntimeError", helpers.failure_kind(group.create_task, group, print))
    group:cancel()
  end)
end)

describe("a module that is loaded again in the same state", function()
  it("works beside the first one", function()
    child_output([[
for name in pairs(package.loaded) do
  if name:find("^luawait") then package.loaded[name] = nil end
end
local again = require "luawait"
assert(again.run(function() return again.sleep(0.001, 1) end) == 1)
assert(async.run(function() return async.sleep(0.001, 2) end) == 2)
for _ = 1, 10 do
  for name in pairs(package.loaded) do
    if name:find("^luawait") then package.loaded[name] = nil end
  end
  require("luawait").run(function() end)
end]])
  end)
end)

describe("the garbage collector", function()
  it("may run at every moment", function()
    local work = [[
local function work()
  local event, sem, fut = async.Event(), async.Semaphore(1), async.Future()
  local results = async.gather({
    function() event:wait() return "event" end,
    async(function(...)
      local _ <close> = sem:acquire()
      async.sleep(0.001)
      event:set()
      fut:set_result(...)
      return ...
    end)("with", nil, "arguments"),
  })
  assert(results[1] == "event" and results[2] == "with")
  assert(select("#", async.await(fut)) == 3)
  pcall(async.timeout, 0.001, async.sleep, 3600)
  pcall(async.wait_for, async(async.sleep)(3600), 0.001)
  pcall(async.task_group, function(tg)
    tg:create_task(function() async.sleep(3600) end)
    tg:create_task(error)
  end)
  for task in async.as_completed({ function() error({}) end, function() return 1 end }, { timeout = 5 }) do
    task:exception()
  end
  local task = async.create_task(function() async.shield(async(async.sleep)(0.002)) end)
  async.sleep(0)
  task:cancel("x")
  pcall(async.await, task)
  async.call_soon(function() collectgarbage() end)
  async.wait({ async.create_task(function() return {} end) })
  local fresh = async.Future()
  fresh:set_exception({})
  pcall(fresh.result, fresh)
end
]]
    child_output(work .. [[
collectgarbage("setpause", 0)
collectgarbage("setstepmul", 1000)
for _ = 1, 10 do async.run(work) end
collectgarbage("generational")
for _ = 1, 10 do async.run(work, { debug = true, slow_callback = 3600 }) end]])
    child_output(work .. [[
local again = {}
function again.more()
  setmetatable({}, { __gc = again.more })
  for _ = 1, 3 do pcall(async.current_task) end
end
again.more()
local function collect() collectgarbage() end
async.run(function()
  for _ = 1, 3 do work() end
end)
-- A full collection every few instructions of the main task.
async.run(function()
  debug.sethook(collect, "", 50)
  work()
  debug.sethook()
end)
again.more = function() end]])
  end)
end)
