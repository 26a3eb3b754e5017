-- luawait.testing: the virtual clock, advance, wait_all_blocked, and the real time that a test may take.
local async = require "luawait"
local fs = require "luawait.fs"
local net = require "luawait.net"
local testing = require "luawait.testing"
local helpers = require "spec.support.helpers"

-- The real seconds that fn() takes.
local function real_seconds(fn, ...)
  local start = async.time() -- outside of a test this is the system's clock
  fn(...)
  return async.time() - start
end

-- testing.run of fn(client, peer), the two ends of a connection.
local function run_pair(fn, opts)
  testing.run(function()
    local accepted = async.Future()
    local server <close> = net.serve("127.0.0.1", 0, function(stream)
      accepted:set_result(stream)
      helpers.forever()
    end)
    local _, port = server:address()
    local client <close> = net.connect("127.0.0.1", port)
    local peer <close> = async.await(accepted)
    fn(client, peer, server)
  end, opts)
end

describe("the virtual clock", function()
  it("begins at 0 and shows what was slept, to the nanosecond", function()
    testing.run(function()
      assert.equal(0, async.time())
      async.sleep(0.1)
      assert.equal(0.1, async.time())
      async.sleep(0.2)
      assert.equal(0.3, async.time())
      async.sleep(86400)
      assert.equal(86400.3, async.time())
    end)
  end)

  it("lets a year pass in no time", function()
    local year = 365 * 86400
    local took = real_seconds(testing.run, function()
      for _ = 1, 365 do async.sleep(86400) end
      assert.equal(year, async.time())
    end)
    assert.is_true(took < 10, took)
  end)

  it("stands still while tasks run", function()
    testing.run(function()
      local start = os.clock()
      repeat until os.clock() - start > 0.01
      assert.equal(0, async.time())
      for _ = 1, 100 do async.sleep(0) end
      assert.equal(0, async.time())
    end)
  end)

  it("is that of timeout, wait_for, wait, as_completed, call_later and call_at", function()
    testing.run(function()
      local log = helpers.log()
      local function now() log(("%g"):format(async.time())) end
      assert.equal("TimeoutError", helpers.failure_kind(async.timeout, 100, helpers.forever))
      now()
      assert.equal("TimeoutError", helpers.failure_kind(async.wait_for, helpers.forever, 100))
      now()
      local task = async.create_task(helpers.forever)
      local done, pending = async.wait({ task }, { timeout = 100 })
      now()
      assert.equal(0, #done)
      assert.equal(1, #pending)
      assert.equal("TimeoutError", helpers.failure_kind(function()
        for _ in async.as_completed({ task }, { timeout = 100 }) do error("none is done") end
      end))
      now()
      local handle = async.call_later(100, now)
      assert.equal(500, handle:when())
      async.call_at(600, now)
      async.sleep(1000)
      now()
      task:cancel()
      assert.equal("100 200 300 400 500 600 1400", tostring(log))
    end)
  end)

  it("keeps the order of deadlines, and of equal ones the order in which they were set", function()
    testing.run(function()
      local log = helpers.log()
      for _, delay in ipairs({ 3, 1, 2, 1 }) do async.call_later(delay, function() log(delay) end) end
      for i = 1, 3 do async.call_later(4, function() log("x" .. i) end) end
      async.sleep(5)
      assert.equal("1 1 2 3 x1 x2 x3", tostring(log))
    end)
  end)

  it("gives a callback that is due at 0 its time", function()
    testing.run(function()
      local later, soon = async.call_later(0, print), async.call_soon(print)
      assert.equal(0, later:when())
      assert.is_nil(soon:when())
      later:cancel()
      soon:cancel()
    end)
  end)

  it("raises DeadlockError when nothing is left to wait for", function()
    local err = helpers.failure(testing.run, function()
      async.sleep(1000)
      async.Event():wait()
    end)
    assert.equal("DeadlockError", err.name)
    assert.is_truthy(err.message:find("event", 1, true))
  end)

  it("is gone with the test", function()
    local before = async.time()
    testing.run(function() async.sleep(1e6) end)
    local after = async.time()
    assert.is_true(after >= before and after < before + 1000)
    async.run(function()
      async.sleep(0.001)
      assert.is_true(async.time() >= after)
    end)
  end)

  it("can be left out", function()
    local took = real_seconds(testing.run, function()
      local start = async.time()
      async.sleep(0.02)
      assert.is_true(async.time() - start >= 0.02)
      testing.wait_all_blocked()
      assert.equal("RuntimeError", helpers.failure_kind(testing.advance, 1))
    end, { clock = "real" })
    assert.is_true(took >= 0.02, took)
  end)
end)

describe("the virtual clock and I/O", function()
  it("lets real I/O work between sleeps", function()
    run_pair(function(client, peer, server)
      client:write("hello\n")
      assert.equal("hello", peer:read_line())
      peer:write("and back\n")
      assert.equal("and back", client:read_line())
      client:close()
      peer:close()
      server:close()
      async.sleep(3600)
      assert.is_true(async.time() >= 3600)
    end)
  end)

  it("goes on with real time while I/O is pending", function()
    run_pair(function(client)
      local before, start = async.time(), os.time()
      assert.equal("TimeoutError", helpers.failure_kind(async.timeout, 0.05, client.read, client))
      local passed = async.time() - before
      assert.is_true(passed >= 0.05, passed)
      assert.is_true(passed <= os.time() - start + 1, passed)
    end)
  end)

  it("goes on with it also where nobody has set a deadline", function()
    run_pair(function(client, peer, server)
      local echo = async.create_task(function()
        while true do peer:write(peer:read()) end
      end)
      local stop = async.time() + 0.001
      while async.time() < stop do
        client:write("x")
        client:read()
      end
      echo:cancel()
      server:close()
    end, { timeout = 30 })
  end)

  it("does not jump over an answer that comes in real time", function()
    local took = real_seconds(run_pair, function(client, peer)
      async.create_task(function()
        async.sleep(0.05)
        peer:write("late\n")
      end)
      assert.equal("late", async.timeout(600, client.read_line, client))
    end)
    assert.is_true(took < 60, took)
  end)

  it("does not jump while a look-up is in flight", function()
    testing.run(function()
      local look_up = async.create_task(function() return net.resolve("localhost") end)
      assert.is_truthy(async.wait_for(look_up, 3600)[1].address)
      assert.is_true(async.time() < 3600)
    end)
  end)

  it("jumps all the same where I/O keeps quiet for longer than opts.patience", function()
    local took = real_seconds(run_pair, function(client, peer)
      async.create_task(function()
        async.sleep(3600)
        peer:write("an hour later\n")
      end)
      assert.equal("an hour later", client:read_line())
      assert.is_true(async.time() >= 3600 and async.time() < 3700, async.time())
    end, { patience = 0.02 })
    assert.is_true(took >= 0.02 and took < 60, took)
  end)
end)

describe("advance", function()
  local manual = { autojump = false }

  it("goes from deadline to deadline", function()
    testing.run(function()
      local log = helpers.log()
      local task = async.create_task(function()
        while true do
          async.sleep(10)
          log(async.time())
        end
      end)
      testing.advance(35)
      assert.equal("10.0 20.0 30.0", tostring(log))
      assert.equal(35, async.time())
      testing.advance(5)
      assert.equal("10.0 20.0 30.0 40.0", tostring(log))
      testing.advance(0)
      assert.equal(40, async.time())
      task:cancel()
    end, manual)
  end)

  it("moves the clock where it does not jump by itself, and nothing else does", function()
    local err = helpers.failure(testing.run, function()
      testing.advance(1)
      async.sleep(5)
    end, manual)
    assert.equal("DeadlockError", err.name)
    assert.is_truthy(err.message:find("5.0 s left", 1, true), err.message)
  end)

  it("is not what the cleanup of tasks that are left waits for", function()
    local cleaned
    testing.run(function()
      async.create_task(function()
        local _ <close> = helpers.defer(function()
          async.sleep(60)
          cleaned = async.time()
        end)
        helpers.forever()
      end)
      testing.advance(1)
    end, { autojump = false, leaks = false })
    assert.equal(61, cleaned)
  end)

  it("comes to what is due after as many seconds, whatever fraction they have", function()
    for _, case in ipairs({ { 0, 1 / 3 }, { 0.1, 0.2 }, { 1 / 3, 1 / 7 }, { 0.7, 0.1 }, { 86400.1, 0.7 } }) do
      local before, delay = case[1], case[2]
      testing.run(function()
        testing.advance(before)
        local log = helpers.log()
        local function sleeper()
          async.sleep(delay)
          log("sleep")
        end
        local function expires()
          pcall(async.timeout, delay, helpers.forever)
          log("timeout")
        end
        local function steps()
          pcall(function()
            local step <close> = select(4, async.as_completed({ async.Future() }, { timeout = delay }))
            step()
          end)
          log("as_completed")
        end
        async.call_later(delay, log, "call_later")
        local tasks = { async.create_task(sleeper), async.create_task(expires), async.create_task(steps) }
        testing.wait_all_blocked()
        testing.advance(delay)
        assert.equal("call_later sleep timeout as_completed", tostring(log), before .. " and " .. delay)
        async.wait(tasks)
      end, manual)
    end
  end)

  it("works beside jumps", function()
    testing.run(function()
      local task = async.create_task(helpers.forever)
      task:cancel()
      local fired
      async.call_later(100, function() fired = async.time() end)
      testing.advance(50)
      assert.equal(50, async.time())
      assert.is_nil(fired)
      testing.advance(50)
      assert.equal(100, fired)
      assert.equal(100, async.time())
    end)
  end)

  it("can be cancelled, and goes no farther then", function()
    testing.run(function()
      local task = async.create_task(function() testing.advance(100) end)
      async.call_later(30, function() task:cancel() end)
      async.wait({ task })
      assert.is_true(task:cancelled())
      assert.equal(30, async.time())
    end, manual)
  end)

  it("wants a finite number of seconds", function()
    testing.run(function()
      for _, case in ipairs({
        { nil, "number expected, got nil" }, { "x", "number expected, got string" }, { 0 / 0, "got NaN" },
        { -1, "not below 0" }, { math.huge, "finite number" },
      }) do
        local text = helpers.failure_text(testing.advance, case[1])
        assert.is_truthy(text:find("bad argument #1 to 'advance'", 1, true), text)
        assert.is_truthy(text:find(case[2], 1, true), text)
      end
      assert.equal(0, async.time())
    end)
  end)

  it("does not go beyond what the clock can show", function()
    testing.run(function()
      async.sleep(5)
      for _, seconds in ipairs({ 1e10, 1e300 }) do
        local text = helpers.failure_text(testing.advance, seconds)
        assert.is_truthy(text:find("bad argument #1 to 'advance' (the clock does not go so far", 1, true), text)
      end
      testing.advance(9e9)
      assert.equal(9000000005, async.time())
    end)
  end)

  it("is an error outside a test", function()
    local text = helpers.failure_text(testing.advance, 1)
    assert.is_truthy(text:find("RuntimeError: no test is running", 1, true), text)
    async.run(function()
      assert.is_truthy(helpers.failure_text(testing.advance, 1):find("no test is running", 1, true))
    end)
  end)
end)

describe("wait_all_blocked", function()
  it("returns when every other task waits", function()
    testing.run(function()
      local log = helpers.log()
      local task = async.create_task(function()
        for i = 1, 50 do
          async.sleep(0)
          log(i)
        end
        async.sleep(1)
      end)
      testing.wait_all_blocked()
      assert.equal(50, #log)
      assert.equal("waiting", task:state())
      assert.equal(0, async.time())
      async.await(task)
    end)
  end)

  it("wakes all who wait in it", function()
    testing.run(function()
      local count = 0
      for _ = 1, 3 do
        async.create_task(function()
          testing.wait_all_blocked()
          count = count + 1
        end)
      end
      testing.wait_all_blocked()
      async.sleep(0)
      assert.equal(3, count)
    end)
  end)

  it("takes in I/O that has come", function()
    run_pair(function(client, peer)
      local line
      async.create_task(function() line = peer:read_line() end)
      client:write("hello\n")
      while not line do testing.wait_all_blocked() end
      assert.equal("hello", line)
    end)
  end)

  it("can be cancelled, and says what it waits for", function()
    testing.run(function()
      local other = async.create_task(function()
        while true do async.sleep(0) end
      end)
      local task = async.create_task(testing.wait_all_blocked)
      async.sleep(0)
      async.sleep(0)
      assert.equal("all the other tasks to wait", task:waiting_on())
      task:cancel()
      async.wait({ task })
      assert.is_true(task:cancelled())
      other:cancel()
    end)
  end)

  it("is an error outside a test", function()
    async.run(function()
      local text = helpers.failure_text(testing.wait_all_blocked)
      assert.is_truthy(text:find("RuntimeError: no test is running", 1, true), text)
    end)
  end)
end)

describe("opts.timeout", function()
  it("ends a test that waits for real I/O, and says what each task waits for", function()
    local started = os.time()
    local err = helpers.failure(run_pair, function(client)
      client:read()
    end, { timeout = 0.05 })
    assert.equal("TimeoutError", err.name)
    assert.is_truthy(err.message:find("takes too long", 1, true))
    assert.is_truthy(err.message:find("Task-1", 1, true), err.message)
    assert.is_true(os.time() - started < 30)
  end)

  it("ends a test that is never done with its turns", function()
    local err = helpers.failure(testing.run, function()
      while true do async.sleep(0) end
    end, { timeout = 0.05 })
    assert.equal("TimeoutError", err.name)
  end)

  it("ends a test whose clock jumps without end", function()
    local err = helpers.failure(testing.run, function()
      while true do async.sleep(1) end
    end, { timeout = 0.05 })
    assert.equal("TimeoutError", err.name)
  end)

  it("runs the cleanup of the test", function()
    local log = helpers.log()
    local err = helpers.failure(testing.run, function()
      local _ <close> = helpers.defer(function() log("cleaned") end)
      while true do async.sleep(0) end
    end, { timeout = 0.05 })
    assert.equal("TimeoutError", err.name)
    assert.equal("cleaned", tostring(log))
  end)

  it("ends a test whose tasks do not end with it", function()
    local started = os.time()
    local err = helpers.failure(testing.run, function()
      async.create_task(function()
        while true do pcall(async.sleep, 1) end
      end, { name = "stubborn" })
      async.sleep(0)
    end, { timeout = 0.05, shutdown_timeout = 600, leaks = false })
    assert.matches("stubborn", err.message)
    assert.is_true(os.time() - started < 300)
  end)

  it("does not touch one that ends in the step in which its time runs out", function()
    assert.equal("fine", testing.run(function()
      fs.stat(".")
      local stop = os.clock() + 1.1
      repeat until os.clock() > stop
      return "fine"
    end, { timeout = 1 }))
  end)

  it("does not touch one that ends in time", function()
    for _, timeout in ipairs({ 60, math.huge }) do
      assert.equal("fine", testing.run(function()
        async.sleep(100)
        return "fine"
      end, { timeout = timeout }))
    end
  end)
end)
