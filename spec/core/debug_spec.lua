local async = require "luawait"
local std = require "luawait.std"
local helpers = require "spec.support.helpers"

local failure, failure_kind = helpers.failure, helpers.failure_kind
local collect, settle, forever = helpers.collect, helpers.settle, helpers.forever

-- Holds the processor for this many seconds of processor time.
local function burn(seconds)
  local stop = os.clock() + seconds
  repeat until os.clock() >= stop
end

-- The texts of the reports that contain `word`.
local function matching(reports, word)
  local found = {}
  for _, report in ipairs(reports) do
    local text = helpers.texts(report)
    if text:find(word, 1, true) then found[#found + 1] = text end
  end
  return found
end

local function current_line()
  return debug.getinfo(2, "l").currentline
end

describe("slow steps", function()
  local function slow_step()
    async.create_task(function() burn(0.03) end, { name = "slowpoke" })
    async.create_task(function() settle() end, { name = "nimble" })
    settle()
  end

  it("are reported in debug mode, with the task and the CPU time", function()
    local reports = collect(slow_step, { debug = true, slow_callback = 0.01 })
    local slow = matching(reports, "slowpoke")
    assert.equal(1, #slow)
    assert.matches("CPU", slow[1], 1, true)
    assert.matches("%d", slow[1])
  end)

  it("are not reported without debug mode, nor below slow_callback", function()
    assert.equal(0, #collect(slow_step, { slow_callback = 0.01 }))
    assert.equal(0, #collect(slow_step, { debug = true, slow_callback = 3600 }))
  end)

  it("are by default those of 0.1 s and more", function()
    local reports = collect(function()
      async.create_task(function() burn(0.12) end, { name = "slowpoke" })
      settle()
    end, { debug = true })
    assert.equal(1, #matching(reports, "slowpoke"))
  end)

  it("of callbacks are reported too", function()
    local reports = collect(function()
      async.call_soon(burn, 0.03)
      settle()
    end, { debug = true, slow_callback = 0.01 })
    assert.is_true(#reports >= 1)
    assert.matches("<Handle running fn=[^>]*debug_spec.lua:%d+> took .* of CPU time", reports[1].message)
  end)

  it("are reported for each step anew", function()
    local reports = collect(function()
      async.create_task(function()
        for _ = 1, 2 do
          burn(0.03)
          async.sleep(0)
        end
      end, { name = "slowpoke" })
      settle()
    end, { debug = true, slow_callback = 0.01 })
    assert.equal(2, #matching(reports, "slowpoke"))
  end)

  it("do not stop the loop when the handler fails", function()
    local result = helpers.child([[
async.run(function()
  async.set_exception_handler(function() error("handler broke") end)
  local stop = os.clock() + 0.03
  repeat until os.clock() >= stop
  async.sleep(0)
  print("went on")
end, { debug = true, slow_callback = 0.01 })]])
    assert.equal(0, result.status)
    assert.equal("went on\n", result.stdout)
    assert.matches("handler broke", result.stderr, 1, true)
  end)
end)

describe("a swallowed cancellation", function()
  local function swallow(go_on)
    local task = async.create_task(function()
      pcall(forever)
      go_on()
    end, { name = "swallower" })
    settle()
    task:cancel()
    failure(async.await, task)
  end

  local function waits_again() async.sleep(0) end

  it("is reported in debug mode when the task waits again", function()
    local reports = collect(function() swallow(waits_again) end, { debug = true, slow_callback = 3600 })
    assert.equal(1, #matching(reports, "swallower"))
    assert.equal(1, #reports)
  end)

  it("is reported also where the task has kept the error", function()
    local reports = collect(function()
      local task = async.create_task(function()
        local ok, err = pcall(forever)
        waits_again(ok, err)
      end, { name = "swallower" })
      settle()
      task:cancel()
      failure(async.await, task)
    end, { debug = true, slow_callback = 3600 })
    assert.equal(1, #matching(reports, "swallower"))
  end)

  it("is none where a __close handler waits, whatever parameters it has, and however deep it is called", function()
    local function deep(n, fn) return n > 0 and deep(n - 1, fn) + 1 or fn() end
    local function waits(__close)
      return function()
        local _ <close> = setmetatable({}, { __close = __close })
        forever()
      end
    end
    local bodies = {
      waits(function() async.sleep(0) end), waits(function(self) async.sleep(0, self) end),
      waits(function(...) async.sleep(0, ...) end),
      waits(function(_, err)
        err = tostring(err)
        async.sleep(0, err)
      end),
      function() async.pcall(waits(waits_again)) end, function() async.timeout(3600, waits(waits_again)) end,
      function() deep(100, waits(waits_again)) end,
      waits(function() pcall(waits_again) end),
      waits(function() std.coroutine.wrap(waits_again)() end),
      function()
        local _ <close> = async.TaskGroup()
        forever()
      end,
      function()
        async.task_group(function(group)
          group:create_task(forever)
          forever()
        end)
      end,
      function()
        async.task_group(function(group) group:create_task(waits(waits_again)) end)
      end,
    }
    for i, body in ipairs(bodies) do
      local reports = collect(function()
        local task = async.create_task(body)
        settle()
        task:cancel()
        failure(async.await, task)
      end, { debug = true, slow_callback = 3600 })
      assert.equal(0, #reports, i)
    end
  end)

  it("is reported once", function()
    local reports = collect(function() swallow(settle) end, { debug = true, slow_callback = 3600 })
    assert.equal(1, #reports)
  end)

  it("is not reported without debug mode", function()
    assert.equal(0, #collect(function() swallow(waits_again) end))
  end)

  it("is not reported when the task does not wait any more, or took the request back", function()
    local reports = collect(function()
      swallow(function() end)
      swallow(function()
        async.current_task():uncancel()
        async.sleep(0)
      end)
    end, { debug = true, slow_callback = 3600 })
    assert.equal(0, #reports)
  end)

  it("is not reported where a timeout, a group or wait_for takes it", function()
    local reports = collect(function()
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, forever))
      assert.equal("TimeoutError", failure_kind(async.wait_for, forever, 0.001))
      failure(async.task_group, function(tg)
        tg:create_task(error)
        forever()
      end)
      async.task_group(function(tg)
        tg:create_task(function() tg:cancel() end)
        forever()
      end)
      settle()
    end, { debug = true, slow_callback = 3600 })
    assert.equal(0, #reports)
  end)

  it("is not reported for a wait in the cleanup", function()
    local reports = collect(function()
      local task = async.create_task(function()
        local _ <close> = helpers.defer(function() async.sleep(0) end)
        forever()
      end)
      settle()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
    end, { debug = true, slow_callback = 3600 })
    assert.equal(0, #reports)
  end)
end)

describe("debug mode tells where", function()
  it("a task was created whose failure nobody retrieved", function()
    local line
    local reports = collect(function()
      line = current_line() + 1
      async.create_task(function() error("lost", 0) end)
      settle()
    end, { debug = true, slow_callback = 3600 })
    assert.equal(1, #reports)
    assert.matches("debug_spec.lua:" .. line, helpers.texts(reports[1]), 1, true)
  end)

  it("a cancellation came from", function()
    local line
    helpers.run(function()
      local task = async.create_task(forever)
      settle()
      line = current_line() + 1
      task:cancel("enough")
      local err = failure(async.await, task)
      assert.equal("enough", err.message)
      assert.matches("debug_spec.lua:" .. line, helpers.texts(err), 1, true)
    end, { debug = true, slow_callback = 3600 })
  end)

  it("and says nothing of it without debug mode", function()
    local err
    local reports = collect(function()
      async.create_task(function() error("lost", 0) end)
      local task = async.create_task(forever)
      settle()
      task:cancel()
      err = failure(async.await, task)
    end)
    assert.equal(1, #reports)
    assert.equal("", helpers.texts(err))
  end)
end)

describe("debug mode", function()
  it("changes nothing in a program that does nothing wrong", function()
    helpers.run(function()
      local event, sem = async.Event(), async.Semaphore(2)
      local results = async.gather({ function()
        event:wait()
        return "a"
      end, async(function()
        local _ <close> = sem:acquire()
        event:set()
        return async.sleep(0.001, "b")
      end)() })
      assert.same({ n = 2, "a", "b" }, results)
      local task = async.create_task(forever)
      settle()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
    end, { debug = true, slow_callback = 3600 })
  end)

  it("is off again in the next run", function()
    async.run(function() end, { debug = true, slow_callback = 0.001 })
    local reports = collect(function()
      burn(0.005)
      async.sleep(0)
    end)
    assert.equal(0, #reports)
  end)
end)

describe("the watchdog", function()
  -- The step blocks until its own stack stands on stderr, which the file of that name takes; or for 20 s.
  local blocker = [[
local path = ...
local start = os.time()
local function reported()
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text:find("blocking_function", 1, true) ~= nil
end
local function blocking_function()
  while os.time() - start < 20 do
    if reported() then return "reported while it blocked" end
  end
  return "not reported"
end
local function step()
  local result = blocking_function()
  return result
end
]]

  it("writes the Lua stack of a task's step to stderr while it blocks", function()
    local result = helpers.child(blocker .. [[
print(async.run(function()
  async.sleep(0)
  local result = step()
  return result
end, { watchdog = 0.05 }))]])
    assert.equal(0, result.status)
    assert.equal("reported while it blocked\n", result.stdout)
    assert.matches("traceback", result.stderr, 1, true)
    assert.matches("step", result.stderr, 1, true)
  end)

  it("does so for a callback", function()
    local result = helpers.child(blocker .. [[
async.run(function()
  async.call_soon(function()
    local result = step()
    print(result)
  end)
  async.sleep(0.001)
end, { watchdog = 0.05 })]])
    assert.equal(0, result.status)
    assert.equal("reported while it blocked\n", result.stdout)
  end)

  it("names the task", function()
    local result = helpers.child(blocker .. [[
async.run(function()
  async.await(async.create_task(function()
    local result = step()
    print(result)
  end, { name = "the culprit" }))
end, { watchdog = 0.05 })]])
    assert.equal("reported while it blocked\n", result.stdout)
    assert.matches("the culprit", result.stderr, 1, true)
  end)

  -- Each blocks in a C function until what it waits for stands on stderr.
  it("says which task blocks in a C function, and shows its stack when that returns", function()
    local result = helpers.child([[
local path = ...
local held = io.popen("while ! grep -q 'in a C function' '" .. path .. "'; do sleep 0.01; done")
async.run(function() held:close() end, { watchdog = 0.02 })]])
    assert.equal(0, result.status)
    assert.matches("luawait: Task%-1 holds the loop for [%d.]+ s, in a C function", result.stderr)
    assert.matches("stack traceback", result.stderr, 1, true)
  end)

  it("says that a callback blocks in a C function", function()
    local result = helpers.child([[
local path = ...
local held = io.popen("while ! grep -q 'in a C function' '" .. path .. "'; do sleep 0.01; done")
async.run(function()
  async.call_soon(held.close, held)
  async.sleep(0)
end, { watchdog = 0.02 })]])
    assert.equal(0, result.status)
    assert.matches("luawait: a callback holds the loop for [%d.]+ s, in a C function", result.stderr)
  end)

  -- The step spends its time in C, looking up the entries of a list, and then waits in a coroutine that nobody resumes:
  -- the hook that was to show the stack is still to come.
  it("leaves nothing to a coroutine that goes on after the run", function()
    local result = helpers.child([[
local std = require "luawait.std"
local futures, inner = {}, nil
local entries = futures
for _ = 1, 1900 do entries = setmetatable({}, { __index = entries }) end
local list = setmetatable({}, { __len = function() return #futures end, __index = entries })
async.run(function()
  futures[1] = async.Future()
  for i = 2, 5000 do futures[i] = futures[1] end
  async.create_task(function()
    inner = std.coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() print("closed") end })
      async.wait(list)
    end)
    std.coroutine.resume(inner)
  end)
  async.sleep(0)
end, { watchdog = 0.01, shutdown_timeout = 0 })
print(coroutine.close(inner))
print(debug.gethook(inner))]])
    assert.equal(0, result.status)
    assert.equal("closed\ntrue\nnil\n", result.stdout)
    assert.not_matches("has held the loop", result.stderr, 1, true)
  end)

  it("is silent while the loop moves, or waits", function()
    helpers.child_output([[
async.run(function()
  for _ = 1, 10 do async.sleep(0.02) end
end, { watchdog = 5 })
async.run(function() async.sleep(0.5) end, { watchdog = 0.4 })]])
  end)

  it("leaves the user's hook alone, and is gone after run", function()
    local output = helpers.child_output([[
local count = 0
debug.sethook(function() count = count + 1 end, "", 1)
async.run(function() async.sleep(0.01) end, { watchdog = 5 })
local hook = debug.gethook()
print(hook ~= nil, count > 0)
debug.sethook()
async.run(function() async.sleep(0.01) end, { watchdog = 5 })
print(debug.gethook())]])
    assert.equal("true\ttrue\nnil\n", output)
  end)
end)

describe("SIGINT", function()
  -- Sends this process a SIGINT that has arrived when it returns.
  local interrupt = [[
local function interrupt()
  io.popen("kill -INT $PPID"):close()
end
]]

  it("cancels the main task, and run raises KeyboardInterrupt after the cleanup", function()
    local output = helpers.child_output(interrupt .. [[
local ok, err = pcall(async.run, function()
  async.create_task(function()
    local _ <close> = setmetatable({}, { __close = function() async.sleep(0.001) print("other cleaned up") end })
    async.sleep(3600)
  end)
  async.create_task(interrupt)
  local _ <close> = setmetatable({}, { __close = function() async.sleep(0.001) print("main cleaned up") end })
  local fine, why = pcall(async.sleep, 3600)
  print(fine, why.name)
  error(why, 0)
end, { signals = true })
print(ok, err.name)
print(async.run(function() return "again" end))]])
    assert.equal("false\tCancelledError\nmain cleaned up\nother cleaned up\nfalse\tKeyboardInterrupt\nagain\n", output)
  end)

  it("reaches a program that waits in the poll", function()
    local output = helpers.child_output([[
local sender
local ok, err = pcall(async.run, function()
  sender = io.popen("sleep 0.1; kill -INT $PPID")
  async.sleep(3600)
end, { signals = true })
print(ok, err.name)
sender:close()]])
    assert.equal("false\tKeyboardInterrupt\n", output)
  end)

  it("that the main task swallows does not hide its result", function()
    local output = helpers.child_output(interrupt .. [[
print(pcall(async.run, function()
  interrupt()
  local fine, why = pcall(async.sleep, 3600)
  return "result", fine, why.name
end, { signals = true }))]])
    assert.equal("true\tresult\tfalse\tCancelledError\n", output)
  end)

  it("a second time interrupts a busy loop at once", function()
    local output = helpers.child_output(interrupt .. [[
local ok, err = pcall(async.run, function()
  interrupt()
  interrupt()
  while true do end
end, { signals = true, shutdown_timeout = 1 })
print(ok, err.name)]])
    assert.equal("false\tKeyboardInterrupt\n", output)
  end)

  it("a second time interrupts a busy callback at once", function()
    local output = helpers.child_output(interrupt .. [[
print(select(2, pcall(async.run, function()
  async.set_exception_handler(function(info) if info.error then print(info.error) end end)
  async.call_soon(function()
    interrupt()
    interrupt()
    while true do end
  end)
  async.sleep(3600)
end, { signals = true })).name)]])
    assert.equal("KeyboardInterrupt: interrupted\nKeyboardInterrupt\n", output)
  end)

  it("leaves CancelledError to a main task that somebody else has cancelled too", function()
    local output = helpers.child_output(interrupt .. [[
print(select(2, pcall(async.run, function()
  interrupt()
  pcall(async.sleep, 3600)
  async.current_task():cancel()
  async.sleep(3600)
end, { signals = true })).name)]])
    assert.equal("CancelledError\n", output)
  end)

  it("ends the wait for tasks that are left when the main task is done, and is raised unless that failed", function()
    local result = helpers.child(interrupt .. [[
local function leave_task()
  async.create_task(function()
    local _ <close> = setmetatable({}, { __close = function()
      interrupt()
      async.sleep(3600)
    end })
    async.sleep(3600)
  end)
  async.sleep(0)
  return "result"
end
local opts = { signals = true, shutdown_timeout = 600 }
print(pcall(async.run, leave_task, opts))
print(pcall(async.run, function() error(leave_task(), 0) end, opts))
local runner = async.Runner(opts)
print(runner:run(leave_task))
print(pcall(runner.close, runner))
print(runner, pcall(runner.close, runner))]])
    assert.equal(0, result.status)
    assert.equal("false\tKeyboardInterrupt: interrupted\nfalse\tresult\nresult\n" ..
      "false\tKeyboardInterrupt: interrupted\n<Runner closed>\ttrue\n", result.stdout)
    assert.equal(3, select(2, result.stderr:gsub("closed by force", "")))
  end)

  for _, call in ipairs { "async.pcall(forever)", "async.xpcall(forever, print)" } do
    it("a second time passes " .. call .. ", as a cancellation does", function()
      local output = helpers.child_output(interrupt .. [[
local function forever() while true do end end
local ok, err = pcall(async.run, function()
  interrupt()
  interrupt()
  print("swallowed", ]] .. call .. [[)
end, { signals = true, shutdown_timeout = 1 })
print(ok, err.name)
print(async.pcall(function() error(async.KeyboardInterrupt("outside of tasks")) end))]])
      assert.equal("false\tKeyboardInterrupt\nfalse\tKeyboardInterrupt: outside of tasks\n", output)
    end)
  end

  it("a second time interrupts a cleanup that waits", function()
    local result = helpers.child(interrupt .. [[
local ok, err = pcall(async.run, function()
  local _ <close> = setmetatable({}, { __close = function()
    interrupt()
    async.sleep(3600)
  end })
  interrupt()
  async.sleep(3600)
end, { signals = true })
print(ok, err.name)]])
    assert.equal(0, result.status)
    assert.equal("false\tKeyboardInterrupt\n", result.stdout)
  end)

  -- The helper thread is held up by its own message on a stderr that nobody reads, and sees the two signals when their
  -- runs are over. (As on a machine where it is not let run.)
  it("twice, each in a run of its own, does not interrupt the next run, however late the helper thread", function()
    local output = helpers.child_output([[
local fifo = arg[2]
if not fifo then
  fifo = os.tmpname()
  -- Somebody reads after all, in case it is the loop's thread that waits for that.
  os.execute(("rm FIFO; mkfifo FIFO; { sleep 5; cat FIFO; } >/dev/null 2>&1 & %s %s - FIFO 2<>FIFO; kill $!; rm FIFO")
    :format(os.getenv("LUA") or arg[-1], arg[0]):gsub("FIFO", fifo))
  return
end
local runner = async.Runner({ signals = true, watchdog = 0.02 })
runner:run(function()
  os.execute("dd if=/dev/zero of=" .. fifo .. " oflag=nonblock bs=4096 2>/dev/null")
  async.sleep(0)
  local task = coroutine.running()
  coroutine.wrap(function()
    os.execute("sleep 0.5")
    debug.sethook(task)
  end)()
end)
for _ = 1, 2 do
  print(pcall(runner.run, runner, function()
    require("luawait.process").run({ "sh", "-c", "kill -INT $PPID" }) -- popen would wait for the thread's message
    async.sleep(3600)
  end))
end
print(pcall(runner.run, runner, function()
  os.execute("dd if=" .. fifo .. " of=/dev/null iflag=nonblock bs=4096 count=3 2>/dev/null")
  local stop = os.clock() + 0.2
  repeat until os.clock() > stop
  return "done"
end))
runner:close()]])
    assert.equal(("false\tKeyboardInterrupt: interrupted\n"):rep(2) .. "true\tdone\n", output)
  end)

  for wait, source in pairs({ timer = "async.sleep(0)", poll = "require('luawait.fs').stat('.')" }) do
    it("that a run did not wait for is not for the next one, after a step behind the " .. wait, function()
      assert.equal("true\tnone\ntrue\tagain\nfalse\tKeyboardInterrupt\ntrue\tagain\n",
        helpers.child_output(interrupt .. ([[
local runner = async.Runner({ signals = true })
local function again()
  print(pcall(runner.run, runner, function()
    async.sleep(0)
    return "again"
  end))
end
print(pcall(runner.run, runner, function()
  %s
  interrupt()
  return "none"
end))
again()
local ok, err = pcall(runner.run, runner, function()
  %s
  interrupt()
  interrupt()
  while true do end
end)
print(ok, err.name)
again()
runner:close()]]):format(source, source)))
    end)
  end

  it("is watched by default", function()
    local output = helpers.child_output(interrupt .. [[
print(select(2, pcall(async.run, function()
  interrupt()
  async.sleep(3600)
end)).name)]])
    assert.equal("KeyboardInterrupt\n", output)
  end)

  it("is left alone with signals = false, and after run", function()
    -- What it does to a program depends on who started this one: it may be ignored.
    local without = helpers.child(interrupt .. "interrupt() print('survived')")
    for _, source in ipairs({
      "async.run(function() interrupt() print('survived') async.sleep(0.01) end, { signals = false })",
      "async.run(function() end, { signals = true }) interrupt() print('survived')",
    }) do
      local result = helpers.child(interrupt .. source)
      assert.equal(without.status, result.status)
      -- (the interpreter's own handler cannot reach into a task: what it interrupts is the run)
      if not source:find("signals = false", 1, true) then assert.equal(without.stdout, result.stdout) end
    end
  end)
end)
