local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"

local failure, failure_kind = helpers.failure, helpers.failure_kind
local run, settle, forever = helpers.test, helpers.settle, helpers.forever

describe("run raises DeadlockError", function()
  it("when the main task waits for what nobody can bring", function()
    for _, wait in ipairs({
      function() async.await(async.Future()) end,
      function() async.Event():wait() end,
      function() async.Semaphore(0):acquire() end,
      function() async.gather(async.Future(), async.Future()) end,
      function() async.wait({ async.Future() }) end,
      function() async.shield(async.Future()) end,
      function() async.wait_for(async.Future()) end,
      function() for _ in async.as_completed({ async.Future() }) do error("not reached") end end,
      function() async.task_group(function(tg) tg:create_task(async.Future()) end) end,
      forever,
    }) do
      assert.equal("DeadlockError", failure_kind(async.run, wait))
    end
  end)

  it("when tasks wait for one another", function()
    local kind = failure_kind(async.run, function()
      local a, b
      a = async.create_task(function() async.await(b) end)
      b = async.create_task(function() async.await(a) end)
      async.await(a)
    end)
    assert.equal("DeadlockError", kind)
  end)

  it("with a list of the parked tasks and what each waits for", function()
    local err = failure(async.run, function()
      local event, sem, fut = async.Event(), async.Semaphore(0), async.Future()
      async.create_task(function() event:wait() end, { name = "reader" })
      async.create_task(function() sem:acquire() end, { name = "writer" })
      local third = async.create_task(function() async.await(fut) end, { name = "third" })
      async.create_task(function() return "done" end, { name = "finished" })
      settle()
      async.await(third)
    end)
    assert.equal("DeadlockError", err.name)
    local lines = {}
    for line in (err.message .. "\n"):gmatch("(.-)\n") do
      local name, rest = line:match("<Task pending name='(.-)'(.*)$")
      if name then lines[name] = rest end
    end
    assert.matches("third", lines["Task-1"], 1, true)
    assert.matches("[Ee]vent", lines.reader)
    assert.matches("[Ss]emaphore", lines.writer)
    assert.matches("[Ff]uture", lines.third)
    assert.is_nil(err.message:find("finished", 1, true))
  end)

  it("and runs the cleanup of the parked tasks", function()
    local log = helpers.log()
    local kind = failure_kind(run, function()
      local fut = async.Future()
      async.create_task(function()
        local _ <close> = helpers.defer(function()
          async.sleep(0.001)
          log("cleaned up")
        end)
        async.await(fut)
      end)
      settle()
      async.await(fut)
    end)
    assert.equal("DeadlockError", kind)
    assert.equal("cleaned up", tostring(log))
  end)

  it("although cancelled handles and scopes that were left had deadlines", function()
    local kind = failure_kind(async.run, function()
      async.call_later(3600, print):cancel()
      async.timeout(3600, async.sleep, 0)
      async.wait({ function() end }, { timeout = 3600 })
      async.wait_for(function() async.sleep(0) end, 3600)
      local next_done, state = async.as_completed({ function() end, function() end }, { timeout = 3600 })
      assert.is_true(next_done(state):done())
      assert.is_true(next_done(state):done())
      async.await(async.Future())
    end)
    assert.equal("DeadlockError", kind)
  end)

  it("although SIGINT is watched", function()
    local output = helpers.child_output([[
print(select(2, pcall(async.run, function() async.await(async.Future()) end, { signals = true })).name)
print(async.run(function() return "again" end))]])
    assert.equal("DeadlockError\nagain\n", output)
  end)

  it("although a watchdog runs", function()
    assert.equal("DeadlockError", failure_kind(async.run, forever, { watchdog = 3600 }))
  end)

  it("after which everything works", function()
    failure(async.run, forever)
    assert.equal("fine", run(function() return async.sleep(0.001, "fine") end))
  end)
end)

describe("run raises no DeadlockError", function()
  it("while a timer can still wake the program", function()
    run(function()
      local fut = async.Future()
      async.call_later(0.002, function() fut:set_result("woken") end)
      assert.equal("woken", async.await(fut))
    end)
  end)

  it("while a callback is ready", function()
    run(function()
      local fut = async.Future()
      async.call_soon(function() async.call_soon(function() fut:set_result("woken") end) end)
      assert.equal("woken", async.await(fut))
    end)
  end)

  it("while another task sleeps", function()
    run(function()
      local fut = async.Future()
      async.create_task(function()
        async.sleep(0.002)
        fut:set_result("woken")
      end)
      assert.equal("woken", async.await(fut))
    end)
  end)

  it("while a deadline is due", function()
    run(function()
      assert.equal("TimeoutError", failure_kind(async.wait_for, async.Future(), 0.002))
      local done, pending = async.wait({ async.Future() }, { timeout = 0.002 })
      assert.equal(0, #done)
      assert.equal(1, #pending)
    end)
  end)

  it("however often the tasks yield", function()
    run(function()
      for _ = 1, helpers.scale(100000) do async.sleep(0) end
    end)
  end)

  it("while a server waits for connections, or a connection for data", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, [[
local async, net = require "luawait", require "luawait.net"
async.run(function()
  local stream <close> = net.connect("127.0.0.1", math.tointeger(arg[1]))
  async.sleep(0.02)
  stream:write("from outside\n")
end)]])
    run(function()
      local fut, server = async.Future(), nil
      server = net.serve("127.0.0.1", 0, function(stream)
        server:close()
        fut:set_result(stream:read_line())
      end)
      local _, port = server:address()
      local client <close> = assert(io.popen(("'%s' '%s' %d"):format(os.getenv("LUA") or "lua5.4", path, port)))
      assert.equal("from outside", async.await(fut))
      assert.equal("", client:read("a"))
    end)
  end)
end)

describe("at the end of run", function()
  it("a task that ignores its cancellation and waits for nothing that can come is closed by force", function()
    local reports, ok = helpers.collect(function()
      async.create_task(function()
        pcall(forever)
        async.await(async.Future())
      end)
      settle()
    end, { shutdown_timeout = 0.02 })
    assert.is_true(ok)
    assert.equal(1, #reports)
  end)
end)
