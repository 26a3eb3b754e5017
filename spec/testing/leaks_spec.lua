-- luawait.testing: what a test leaves behind makes it fail, and so does what nobody was told of.
local async = require "luawait"
local net = require "luawait.net"
local process = require "luawait.process"
local testing = require "luawait.testing"
local tty = require "luawait.tty"
local helpers = require "spec.support.helpers"
local hooks = require("luawait.core").testing

-- The LeakError of testing.run(fn, opts).
local function leaks_of(fn, opts)
  local err = helpers.failure(testing.run, fn, opts)
  assert.is_true(async.errors.is(err, testing.LeakError), tostring(err))
  return err
end

local function finds(err, text)
  assert.is_truthy(err.message:find(text, 1, true), err.message)
end

local held -- what a test keeps beyond its end

describe("a test that leaves behind", function()
  after_each(function() held = nil end)

  it("a task fails, and the task is named with what it waits for", function()
    local task
    local err = leaks_of(function()
      task = async.create_task(function() async.sleep(60) end, { name = "worker" })
      async.sleep(1)
    end)
    assert.equal(1, #err.leaks)
    finds(err, "worker")
    finds(err, "sleep (59.0 s left)")
    assert.is_true(task:cancelled())
  end)

  it("a server fails", function()
    local err = leaks_of(function() held = net.serve("127.0.0.1", 0, print) end, { leaks = { tasks = false } })
    finds(err, "tcp handle, descriptor")
    assert.is_true(held:is_closing())
  end)

  it("a stream fails", function()
    local err = leaks_of(function()
      local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local _, port = server:address()
      held = net.connect("127.0.0.1", port)
    end)
    finds(err, "tcp handle, descriptor")
  end)

  it("what the end of the run takes care of passes: the terminal's mode", function()
    testing.run(function() pcall(tty.set_mode, "normal") end)
  end)

  it("a callback that has itself called again fails", function()
    local function again() async.call_soon(again) end
    finds(leaks_of(again), "leaks_spec.lua:58, due at once")
  end)

  it("a callback that is still to come fails", function()
    local called
    local err = leaks_of(function()
      async.call_later(5, function() called = true end)
      async.sleep(1)
    end)
    finds(err, "callback")
    finds(err, "leaks_spec.lua")
    finds(err, "due in 4.0 s")
    assert.is_nil(called)
  end)

  it("a future that was never done fails, and the place is named where it was made", function()
    local err = leaks_of(function() held = async.Future() end)
    assert.equal(1, #err.leaks)
    finds(err, "future that was never done, made at")
    finds(err, "leaks_spec.lua:")
  end)

  it("an open file fails", function()
    if #helpers.read_file("/proc/self/stat") == 0 then return end
    local name = os.tmpname()
    local err = leaks_of(function() held = io.open(name, "w") end)
    held:close()
    os.remove(name)
    finds(err, "descriptor")
    finds(err, name)
  end)

  it("no descriptor for the next fails, and is told of all; the next fails for want of them", function()
    local output = helpers.child_output([[
local testing = require "luawait.testing"
local files = {}
local function take_all()
  repeat
    local file = io.open("/dev/null")
    files[#files + 1] = file
  until not file
end
testing.run(function() end)
local _, err = pcall(testing.run, take_all)
print(err.name, #err.leaks == #files and #files > 0)
take_all()
print(select(2, pcall(testing.run, function() end)).code)]], { descriptors = 64 })
    assert.equal("LeakError\ttrue\nEMFILE\n", output)
  end)

  it("several of these is told of all", function()
    local err = leaks_of(function()
      held = async.Future()
      async.create_task(helpers.forever)
      async.call_later(5, print)
    end)
    assert.equal(3, #err.leaks)
  end)
end)

describe("nothing is left behind by", function()
  it("a test that cancels its tasks in its last line", function()
    testing.run(function()
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = async.create_task(function()
          local inner = async.create_task(helpers.forever)
          local _ <close> = helpers.defer(function() for _ = 1, 5 do async.sleep(0) end end)
          async.await(inner)
        end)
      end
      async.sleep(1)
      for _, task in ipairs(tasks) do task:cancel() end
    end)
  end)

  it("a test that cancels in its last line what has to wait for the system: a program's end", function()
    testing.run(function()
      local task = async.create_task(function() process.run({ "sleep", "60" }) end)
      async.sleep(0.01)
      task:cancel()
    end)
  end)

  it("a test that closes a server and its streams in its last lines", function()
    testing.run(function()
      local server = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local _, port = server:address()
      local stream = net.connect("127.0.0.1", port)
      stream:close()
      server:close()
    end, { timeout = 30 })
  end)

  it("futures that were done, cancelled, or are garbage", function()
    testing.run(function()
      local done, cancelled, dropped = async.Future(), async.Future(), async.Future()
      done:set_result(1)
      cancelled:cancel()
      assert.is_false(dropped:done())
    end)
  end)

  it("what stood before the test", function()
    held = async.Future()
    local file <close> = assert(io.open(arg and arg[0] or "/dev/null"))
    testing.run(function() async.sleep(1) end)
    assert.is_truthy(file:seek())
    held = nil
  end)

  it("a program that was started without stdin, stdout or stderr", function()
    for _, missing in ipairs({ "<&-", ">&-", "2>&-", "<&- >&- 2>&-" }) do
      local command = [["%s" -e 'require("luawait.testing").run(function() end)' ]] .. missing
      assert.is_true(os.execute(command:format(os.getenv("LUA") or "lua5.4")), missing)
    end
  end)

  it("a file that nobody holds any more", function()
    testing.run(function() assert.is_truthy(io.open("README.md"):read(1)) end)
  end)
end)

describe("opts.leaks", function()
  local function leave_all()
    held = async.Future()
    async.create_task(helpers.forever)
    async.call_later(5, print)
  end

  after_each(function() held = nil end)

  it("false looks for none", function()
    testing.run(leave_all, { leaks = false })
  end)

  it("as a table leaves kinds out", function()
    assert.equal(2, #leaks_of(leave_all, { leaks = { tasks = false } }).leaks)
    assert.equal(2, #leaks_of(leave_all, { leaks = { handles = false } }).leaks)
    assert.equal(2, #leaks_of(leave_all, { leaks = { futures = false } }).leaks)
    testing.run(leave_all, { leaks = { futures = false, tasks = false, handles = false, descriptors = true } })
  end)
end)

describe("the error of a test", function()
  it("is raised, whatever it leaves behind", function()
    local mine = {}
    local err = helpers.failure(testing.run, function()
      async.create_task(helpers.forever)
      error(mine, 0)
    end)
    assert.is_true(rawequal(mine, err))
  end)

  it("is that of a background task that nobody asked for", function()
    local err = helpers.failure(testing.run, function()
      async.create_task(function() error("lost", 0) end)
      async.sleep(1)
    end)
    assert.equal("RuntimeError", err.name)
    finds(err, "reported to the exception handler")
    finds(err, "lost")
    assert.equal("lost", err.reports[1].error)
  end)

  it("is that of a coroutine that nobody awaited, and not that of a later test", function()
    local fetch = async(function() end)
    local err = helpers.failure(testing.run, function() fetch() end)
    finds(err, "coroutine 'fetch' was never awaited")
    testing.run(helpers.collect_garbage)
  end)

  it("is that of a callback", function()
    local err = helpers.failure(testing.run, function()
      async.call_soon(function() error("in a callback", 0) end)
      async.sleep(1)
    end)
    finds(err, "in a callback")
  end)

  it("is none where the test has an exception handler of its own", function()
    local seen
    testing.run(function()
      async.set_exception_handler(function(info) seen = info.error end)
      async.call_soon(function() error("mine", 0) end)
      async.sleep(1)
    end)
    assert.equal("mine", seen)
  end)

  it("stays CancelledError, also in debug mode", function()
    local ok, err = pcall(testing.run, function()
      async.current_task():cancel("enough")
      async.sleep(1)
    end, { debug = true, slow_callback = 3600 })
    assert.is_false(ok)
    assert.equal("CancelledError: enough", tostring(err))
  end)
end)

describe("testing.run", function()
  it("returns all results", function()
    assert.same({ n = 4, 1, nil, "x", nil }, table.pack(testing.run(function() return 1, nil, "x", nil end)))
    assert.same({ n = 0 }, table.pack(testing.run(function() end)))
  end)

  it("passes the options of async.run on", function()
    local err = helpers.failure(testing.run, function()
      assert.is_true(pcall(async.timeout, nil))
      local stop = os.clock() + 0.02
      repeat until os.clock() > stop
    end, { debug = true, slow_callback = 0.001 })
    finds(err, "without waiting")
    assert.is_truthy(helpers.failure_text(testing.run, print, { debug = 1 }):find("'debug'", 1, true))
  end)

  it("complains of what is no function", function()
    for _, bad in ipairs({ 1, "x", {}, false }) do
      local text = helpers.failure_text(testing.run, bad)
      assert.is_truthy(text:find("bad argument #1 to 'run' (function expected", 1, true), text)
    end
    assert.is_truthy(helpers.failure_text(testing.run):find("got nil", 1, true))
  end)

  it("complains of options that are unknown or wrong, at the place of the call", function()
    for option, bad in pairs({
      clock = "fast", autojump = 1, patience = -1, seed = 1.5, explore = 0, timeout = "x", leaks = { task = true },
      fail = { allocation = 0 }, check = 1, debug = 1, slow_callback = "1", watchdog = -1, signals = 0,
      shutdown_timeout = 0 / 0,
    }) do
      local text = helpers.failure_text(testing.run, print, { [option] = bad })
      assert.is_truthy(text:find(("option '%s'"):format(option), 1, true), text)
      assert.is_truthy(text:find("bad argument #2 to 'run'", 1, true), text)
    end
    local text = helpers.failure_text(testing.run, print, { check = print })
    assert.is_truthy(text:find("bad argument #2 to 'run' (option 'check' is not for this function)", 1, true), text)
    text = helpers.failure_text(testing.run, print, { sead = 1 })
    assert.is_truthy(text:find("bad argument #2 to 'run' (unknown option 'sead')", 1, true), text)
    text = helpers.failure_text(testing.run, print, 1)
    assert.is_truthy(text:find("table expected, got number", 1, true), text)
    local _, message = pcall(function() testing.run(print, { sead = 1 }) end)
    assert.is_truthy(message:find("^[^\n]*leaks_spec.lua:"), message)
  end)

  it("has a clock and an order that only begin first thing in a loop", function()
    testing.run(function()
      assert.matches("a test must begin first thing in its loop", helpers.failure_text(hooks.begin, true))
    end)
    async.run(function()
      async.call_later(3600, print)
      assert.matches("a test must begin first thing in its loop", helpers.failure_text(hooks.begin, true))
    end)
  end)

  it("does not nest, and the outer loop goes on", function()
    async.run(function()
      local text = helpers.failure_text(testing.run, print)
      assert.is_truthy(text:find("RuntimeError", 1, true), text)
      async.sleep(0.001)
    end)
    testing.run(function()
      assert.equal("RuntimeError", helpers.failure_kind(testing.run, print))
      async.sleep(10)
      assert.equal(10, async.time())
    end)
  end)

  it("is an error while a Runner is open", function()
    local runner <close> = async.Runner()
    runner:run(function() async.sleep(0) end)
    assert.equal("RuntimeError", helpers.failure_kind(testing.run, print))
    runner:run(function() async.sleep(0.001) end)
  end)

  it("leaves a state that can be closed at any moment", function()
    for _, source in ipairs({
      "async.sleep(5) os.exit(0, true)",
      "async.create_task(function() async.sleep(0) os.exit(0, true) end) testing.wait_all_blocked()",
      "async.call_later(5, function() os.exit(0, true) end) async.sleep(100)",
      "F = async.Future() os.exit(0, true)",
    }) do
      for _, opts in ipairs({ "{}", "{seed = 1}", "{timeout = 5}", "{fail = {allocation = 1000000}}" }) do
        helpers.child_output(('local testing = require "luawait.testing" testing.run(function() %s end, %s)'):format(
          source, opts))
      end
    end
  end)
end)
