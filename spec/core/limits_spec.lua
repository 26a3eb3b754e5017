-- Each in a process of its own: the memory goes back, and a crash is a failure of one spec.
local helpers = require "spec.support.helpers"

local function output(source)
  return helpers.child_output(source, { seconds = 120 })
end

describe("limits:", function()
  it("a million tasks parked at once", function()
    local count = helpers.scale(1000000)
    local source = ([[
local count, woken = %d, 0
async.run(function()
  local event = async.Event()
  local function wait()
    event:wait()
    woken = woken + 1
  end
  for _ = 1, count do async.create_task(wait) end
  async.sleep(0)
  print(event:statistics().waiters, #async.all_tasks())
  event:set()
  while woken < count do async.sleep(0) end
end)
print(woken)]]):format(count)
    assert.equal(("%d\t%d\n%d\n"):format(count, count + 1, count), output(source))
  end)

  it("many parked tasks cancelled when run ends", function()
    local count = helpers.scale(100000)
    local source = ([[
local count, cleaned = %d, 0
local closer = setmetatable({}, { __close = function() cleaned = cleaned + 1 end })
async.run(function()
  for _ = 1, count do
    async.create_task(function()
      local _ <close> = closer
      async.sleep(3600)
    end)
  end
  async.sleep(0)
end)
print(cleaned)]]):format(count)
    assert.equal(count .. "\n", output(source))
  end)

  local chain = [[
local function chain(first)
  local tasks = { async.create_task(first) }
  for i = 2, 10000 do
    local before = tasks[i - 1]
    tasks[i] = async.create_task(function() return 1 + async.await(before) end)
  end
  async.sleep(0)
  return tasks
end
local function count(tasks, test)
  local n = 0
  for _, task in ipairs(tasks) do
    if test(task) then n = n + 1 end
  end
  return n
end
]]

  it("a chain of 10,000 tasks, each awaiting the next: a result", function()
    assert.equal("9999\n", output(chain .. [[
async.run(function()
  local tasks = chain(function() return async.sleep(0.01, 0) end)
  print(async.await(tasks[#tasks]))
end)]]))
  end)

  it("a chain of 10,000 tasks: an error", function()
    assert.equal("true\n10000\n", output(chain .. [[
async.run(function()
  local err = async.ValueError("at the end")
  local tasks = chain(function()
    async.sleep(0.01)
    error(err)
  end)
  print(rawequal(err, select(2, pcall(async.await, tasks[#tasks]))))
  print(count(tasks, function(task) return rawequal(err, task:exception()) end))
end)]]))
  end)

  it("a chain of 10,000 tasks: a cancellation", function()
    assert.equal("CancelledError: chain\n10000\n", output(chain .. [[
async.run(function()
  local tasks = chain(function() async.sleep(3600) end)
  tasks[#tasks]:cancel("chain")
  print(select(2, pcall(async.await, tasks[#tasks])))
  print(count(tasks, function(task) return task:cancelled() end))
end)]]))
  end)

  it("a chain of 10,000 tasks: left behind when run ends", function()
    assert.equal("left\n10000\n", output(chain .. [[
local tasks
print(async.run(function()
  tasks = chain(function() async.sleep(3600) end)
  return "left"
end))
print(count(tasks, function(task) return task:cancelled() end))]]))
  end)

  it("a chain of 10,000 tasks: in a deadlock", function()
    assert.equal("DeadlockError\n10000\n", output(chain .. [[
local tasks
print(select(2, pcall(async.run, function()
  tasks = chain(async.Future())
  async.await(tasks[#tasks])
end)).name)
print(count(tasks, function(task) return task:done() end))]]))
  end)

  it("5,000 nested awaits in one task: a result, an error, a cancellation", function()
    assert.equal("5000\ntrue\nCancelledError: deep\n5000\n", output([[
local dive
dive = async(function(n, bottom)
  if n == 0 then return bottom() end
  return 1 + async.await(dive(n - 1, bottom))
end)
async.run(function()
  print(async.await(dive(5000, function() return async.sleep(0.001, 0) end)))
  local err = async.ValueError("from the bottom")
  print(rawequal(err, select(2, pcall(async.await, dive(5000, function()
    async.sleep(0.001)
    error(err)
  end)))))
  local task = async.create_task(dive(5000, function() async.sleep(3600) end))
  async.sleep(0)
  async.sleep(0)
  task:cancel("deep")
  print(select(2, pcall(async.await, task)))
  print(async.await(async.create_task(dive(5000, function() return 0 end))))
end)]]))
  end)

  it("5,000 nested awaits of functions and __await objects", function()
    assert.equal("5000\n5000\n", output([[
local function dive(n)
  if n == 0 then return async.sleep(0, 0) end
  return 1 + async.await(function() return dive(n - 1) end)
end
local function object(n)
  return setmetatable({}, { __await = function()
    if n == 0 then return async.sleep(0, 0) end
    return 1 + async.await(object(n - 1))
  end })
end
async.run(function()
  print(dive(5000))
  print(async.await(object(5000)))
end)]]))
  end)

  it("gather of 10,000, as arguments and as a table", function()
    assert.equal("10000\t10000\n10000\t10000\t10000\n10000\n", output([[
local function awaitables()
  local list = {}
  for i = 1, 10000 do
    list[i] = async(function()
      async.sleep(i % 10 * 0.001)
      return i
    end)()
  end
  return list
end
local function in_order(results)
  local right = 0
  for i = 1, 10000 do
    if results[i] == i then right = right + 1 end
  end
  return right
end
async.run(function()
  local results = table.pack(async.gather(table.unpack(awaitables())))
  print(results.n, in_order(results))
  results = async.gather(awaitables())
  print(results.n, #results, in_order(results))
  local failed = 0
  local list = {}
  for i = 1, 10000 do list[i] = function() error(i, 0) end end
  for _, failure in ipairs(async.gather(list, { return_exceptions = true })) do
    if async.is_failure(failure) then failed = failed + 1 end
  end
  print(failed)
end)]]))
  end)

  it("gather of 10,000, cancelled", function()
    assert.equal("CancelledError\n10000\n", output([[
local cancelled = 0
async.run(function()
  local list = {}
  for i = 1, 10000 do
    list[i] = async.create_task(function() async.sleep(3600) end)
  end
  local task = async.create_task(function() return async.gather(list) end)
  async.sleep(0)
  async.sleep(0)
  task:cancel()
  print(select(2, pcall(async.await, task)).name)
  for _, child in ipairs(list) do
    if child:cancelled() then cancelled = cancelled + 1 end
  end
  print(cancelled)
end)]]))
  end)

  it("a chain of 50,000 tasks, each gathering the one before: a cancellation, an end of run", function()
    local count = helpers.scale(50000)
    local source = ([[
local function chain(n)
  local tasks = { async.create_task(function() async.sleep(3600) end) }
  for i = 2, n do
    local before = tasks[i - 1]
    tasks[i] = async.create_task(function() return async.gather(before) end)
  end
  async.sleep(0)
  async.sleep(0)
  return tasks
end
local tasks = async.run(function()
  local chained = chain(%d)
  chained[#chained]:cancel()
  print(select(2, pcall(async.await, chained[#chained])).name)
  return chain(%d)
end)
print(tasks[1]:cancelled(), tasks[#tasks]:cancelled())]]):format(count, count)
    assert.equal("CancelledError\ntrue\ttrue\n", output(source))
  end)

  it("tasks that wait for one another in a circle: a cancellation, an end of run, a deadlock", function()
    for _, way in ipairs({
      "async.await(other())", "async.gather(other())", "async.wait_for(other(), 0.05)", "async.shield(other())",
      "async.wait({ other() })", "async.gather({ other(), other() }, { return_exceptions = true })",
      "for _ in async.as_completed({ other() }) do end",
      "async.timeout(0.05, async.gather, other(), other())",
    }) do
      local source = ([[
local function circle(size)
  local tasks = {}
  for i = 1, size do
    local function other() return tasks[i %% size + 1] end
    tasks[i] = async.create_task(function() %s end)
  end
  for _ = 1, 5 do async.sleep(0) end
  return tasks
end
for size = 2, 3 do
  async.run(function()
    circle(size)[1]:cancel()
    for _ = 1, 10 do async.sleep(0) end
  end)
  async.run(function() circle(size) end)
  pcall(async.run, function() async.gather(circle(size)) end)
end
print("ended")]]):format(way)
      assert.equal("ended\n", output(source), way)
    end
  end)

  it("1,000 nested gathers, shields and groups, 100 nested deadlines", function()
    assert.equal("0\n0\n0\n0\n", output([[
async.run(function()
  local function gathers(n) return n == 0 and async.sleep(0, 0) or async.gather(async(gathers)(n - 1)) end
  local function shields(n) return n == 0 and async.sleep(0, 0) or async.shield(async(shields)(n - 1)) end
  local function waits(n) return n == 0 and async.sleep(0, 0) or async.wait_for(async(waits)(n - 1), 3600) end
  local function groups(n)
    if n == 0 then return async.sleep(0, 0) end
    local task
    async.task_group(function(tg) task = tg:create_task(async(groups)(n - 1)) end)
    return task:result()
  end
  print(gathers(1000))
  print(shields(1000))
  print(async.await(async.create_task(async(waits)(100))))
  print(groups(1000))
end)]]))
  end)

  it("100,000 waits one after another in one task, without growth", function()
    local result = output([[
async.run(function()
  local event = async.Event()
  event:set()
  local function round(n)
    for _ = 1, n do
      async.sleep(0)
      event:wait()
      async.await(async(async.sleep)(0))
      pcall(async.await, function() error("x") end)
    end
    collectgarbage()
    collectgarbage()
    return collectgarbage("count")
  end
  local before = round(1000)
  local after = round(25000)
  print(after - before < 200)
end)]])
    assert.equal("true\n", result)
  end)

  it("100,000 tasks one after another, without growth", function()
    local result = output([[
async.run(function()
  local function round(n)
    for i = 1, n do
      local task = async.create_task(function() return async.sleep(0, i) end)
      if i % 10 == 0 then task:cancel() end
      pcall(async.await, task)
    end
    collectgarbage()
    collectgarbage()
    return collectgarbage("count")
  end
  local before = round(2000)
  local after = round(50000)
  print(after - before < 500)
end)]])
    assert.equal("true\n", result)
  end)
end)
