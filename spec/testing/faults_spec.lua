-- luawait.testing: cancellation at every wait, and calls that fail on purpose.
local async = require "luawait"
local std = require "luawait.std"
local testing = require "luawait.testing"
local echo = require "spec.support.echo"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"

-- What a task group does with a lock, a queue and a timeout.
local function structured()
  local queue, lock = async.Queue(1), async.Lock()
  async.task_group(function(group)
    group:create_task(function()
      local _ <close> = helpers.defer(function() queue:shutdown() end)
      for i = 1, 3 do queue:put(i) end
    end)
    for _ = 1, 2 do
      group:create_task(function()
        for item in queue:iter() do
          local _ <close> = lock:acquire()
          async.sleep(item)
        end
      end)
    end
    group:create_task(function() pcall(async.timeout, 2, async.sleep, 10) end)
  end)
end

-- What fn(...) writes to stderr, and its error.
local function stderr_of(source)
  return helpers.child('local testing = require "luawait.testing" ' .. source)
end

describe("cancel_at_every_wait", function()
  it("cancels once at each wait of each task", function()
    local runs, cancelled = 0, helpers.log()
    local waits = testing.cancel_at_every_wait(function()
      runs = runs + 1
      local function step(name)
        local ok, err = pcall(async.sleep, 1)
        if not ok then
          assert.equal("CancelledError", err.name)
          cancelled(name)
        end
      end
      async.task_group(function(group)
        group:create_task(function()
          step("a")
          step("b")
        end)
      end)
      step("c")
    end)
    assert.equal("a b c", tostring(cancelled):gsub("^a a ", "a "), "the group's wait is cancelled too")
    assert.equal(5, waits) -- two are the group's: for the task, and for what comes of that
    assert.equal(7, runs) -- as it is, five times cancelled, and one in which there was nothing more to cancel
  end)

  it("tells opts.check of each run", function()
    local log = helpers.log()
    testing.cancel_at_every_wait(function()
      async.sleep(1)
      pcall(async.sleep, 1)
      return "fine"
    end, { check = function(ok, err, n) log(("%s:%s:%d"):format(ok, err, n)) end })
    assert.equal("false:CancelledError:1 true:fine:2", tostring(log))
  end)

  it("lets such a run end with any error, nil too", function()
    assert.equal(1, testing.cancel_at_every_wait(function()
      if not pcall(async.sleep, 1) then error() end
    end))
  end)

  it("cancels a task that lets others have their turn", function()
    assert.equal(3, testing.cancel_at_every_wait(function() for _ = 1, 3 do async.sleep(0) end end))
  end)

  it("does not count the waits of the test itself", function()
    assert.equal(1, testing.cancel_at_every_wait(function()
      testing.wait_all_blocked()
      testing.advance(10)
      async.sleep(1)
    end))
  end)

  it("finds nothing where all is structured", function()
    local waits = testing.cancel_at_every_wait(structured)
    assert.is_true(waits > 6, waits)
  end)

  it("finds nothing in an echo server and its clients", function()
    local waits = testing.cancel_at_every_wait(echo, { timeout = 60 })
    assert.is_true(waits > 5, waits)
  end)

  it("finds a lock that stays held, as what others then wait for", function()
    local child = stderr_of([[
      local lock = async.Lock()
      testing.cancel_at_every_wait(function()
        lock = async.Lock()
        async.task_group(function(group)
          for _ = 1, 2 do
            group:create_task(function()
              lock:acquire()
              async.sleep(1)
              lock:release()
            end)
          end
        end)
      end)]])
    assert.equal(1, child.status)
    assert.is_truthy(child.stderr:find("luawait.testing: failed when cancelled at wait", 1, true), child.stderr)
    assert.is_truthy(child.stderr:find("DeadlockError", 1, true), child.stderr)
    assert.is_truthy(child.stderr:find("lock held by Task-2, which has ended", 1, true), child.stderr)
  end)

  it("finds a task that is left behind", function()
    local child = stderr_of([[
      testing.cancel_at_every_wait(function()
        local task = async.create_task(function() async.sleep(10) end, {name = "helper"})
        async.sleep(1)
        async.await(task)
      end)]])
    assert.equal(1, child.status)
    assert.is_truthy(child.stderr:find("failed when cancelled at wait 1\n", 1, true), child.stderr)
    assert.is_truthy(child.stderr:find("LeakError: the test left behind:", 1, true), child.stderr)
    assert.is_truthy(child.stderr:find("helper", 1, true), child.stderr)
  end)

  it("raises the error of a program that fails anyway", function()
    local runs = 0
    local text = helpers.failure_text(testing.cancel_at_every_wait, function()
      runs = runs + 1
      error("broken", 0)
    end)
    assert.equal("broken", text)
    assert.equal(1, runs)
  end)

  it("works where luawait.std is installed, whose pcall cancellations pass", function()
    local _ <close> = helpers.defer(std.uninstall)
    std.install()
    assert.equal(2, testing.cancel_at_every_wait(function()
      async.sleep(1)
      async.sleep(1)
    end))
  end)

  it("works with a seed", function()
    assert.is_true(testing.cancel_at_every_wait(structured, { seed = 4 }) > 6)
  end)

  it("complains of wrong arguments", function()
    assert.is_truthy(helpers.failure_text(testing.cancel_at_every_wait, 1):find("bad argument #1", 1, true))
    local text = helpers.failure_text(testing.cancel_at_every_wait, print, { chek = print })
    assert.is_truthy(text:find("bad argument #2 to 'cancel_at_every_wait' (unknown option 'chek')", 1, true), text)
    text = helpers.failure_text(testing.cancel_at_every_wait, print, { explore = 5 })
    assert.matches("bad argument #2 to 'cancel_at_every_wait' (option 'explore' is not for", text, 1, true)
  end)
end)

describe("opts.fail", function()
  it("lets one request for memory fail", function()
    local failed = 0
    for n = 1, 100 do
      local ok, err = pcall(testing.run, function()
        local t = {}
        for i = 1, 20 do t[i] = { i } end
        return #t
      end, { fail = { allocation = n } })
      if not ok then
        failed = failed + 1
        assert.equal("not enough memory", err)
      end
    end
    assert.is_true(failed > 20 and failed < 100, failed) -- the program makes 46 or so
  end)

  it("does nothing where there are not so many", function()
    assert.equal(1, testing.run(function() return 1 end, { fail = { allocation = 1000000 } }))
  end)

  it("is over when the test ends, also when it ends badly", function()
    helpers.failure(testing.run, function() async.Event():wait() end, { fail = { allocation = 100 } })
    local t = {}
    for i = 1, 1000 do t[i] = { i } end
    assert.equal(1000, #t)
  end)

  it("of libuv is refused by a build that cannot do it", function()
    local text = helpers.failure_text(testing.run, print, { fail = { uv = 1 } })
    assert.is_truthy(text:find("bad argument #2 to 'run' (this build cannot let calls of libuv fail", 1, true), text)
    text = helpers.failure_text(testing.fail_at_every_call, "uv", print)
    assert.is_truthy(text:find("bad argument #1 to 'fail_at_every_call'", 1, true), text)
  end)
end)

describe("fail_at_every_call", function()
  it("goes through every request for memory of a program with tasks", function()
    local failed = 0
    local count = testing.fail_at_every_call("allocation", structured, {
      leaks = { tasks = false }, -- a group that is out of memory cannot wait for its own
      check = function(ok) if not ok then failed = failed + 1 end end,
    })
    assert.is_true(count > 50, count)
    assert.is_true(failed > 0)
  end)

  it("goes through every request for memory of a server and its clients: it closes what it cannot hand over", function()
    local failed = 0
    testing.fail_at_every_call("allocation", echo, {
      timeout = 60, leaks = { tasks = false }, check = function(ok) if not ok then failed = failed + 1 end end,
    })
    assert.is_true(failed > 50, failed)
  end)

  it("complains of wrong arguments", function()
    assert.is_truthy(helpers.failure_text(testing.fail_at_every_call, "disk", print):find("bad argument #1", 1, true))
    assert.is_truthy(helpers.failure_text(testing.fail_at_every_call, "allocation"):find("bad argument #2", 1, true))
    for option, value in pairs({ explore = 5, fail = { allocation = 1 } }) do
      local text = helpers.failure_text(testing.fail_at_every_call, "allocation", print, { [option] = value })
      assert.matches("bad argument #3 to 'fail_at_every_call' (option '" .. option .. "' is not for", text, 1, true)
    end
    local text = helpers.failure_text(testing.fail_at_every_call, "allocation", print, { debug = 1 })
    assert.matches("bad argument #3 to 'fail_at_every_call' (option 'debug': boolean expected", text, 1, true)
  end)
end)

describe("calls of libuv", function()
  local built

  setup(function() built = faults.available() end)

  local function on_that_build(source)
    if not built then return pending("no linker with --wrap") end
    return faults.child_output([[
      local async, net, testing = require "luawait", require "luawait.net", require "luawait.testing"
    ]] .. source)
  end

  it("fail by their number", function()
    assert.equal("EADDRINUSE fine\n", on_that_build([[
      local function serve()
        local server <close> = net.serve("127.0.0.1", 0, print)
        return "fine"
      end
      local n, codes = 0, {}
      local function code_of_run()
        n = n + 1
        local ok, err = pcall(testing.run, serve, { fail = { uv = n } })
        return ok and err or err.code
      end
      repeat
        local code = code_of_run()
        codes[#codes + 1] = code
      until code == "EADDRINUSE" or code == "fine"
      assert(n > 1)
      print(codes[#codes], testing.run(serve))
    ]]):gsub("\t", " "))
  end)

  it("fail one by one, in a server and its clients", function()
    local output = on_that_build([[
      local failed = 0
      local count = testing.fail_at_every_call("uv", require "spec.support.echo", {
        timeout = 60, check = function(ok) if not ok then failed = failed + 1 end end,
      })
      print(count, failed)
    ]])
    local count, failed = output:match("^(%d+)\t(%d+)\n$")
    assert.is_true(tonumber(count) > 20 and tonumber(failed) > 10, output)
  end)
end)
