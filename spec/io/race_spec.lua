local async = require "luawait"
local race = require "luawait.net.race"
local helpers = require "spec.support.helpers"

local failure, failure_kind = helpers.failure, helpers.failure_kind
local run, settle = helpers.test, helpers.settle

--- Attempts by name, each settled from outside: a future for each candidate, and what was started and closed.
local function attempts(names)
  local self = { started = helpers.log(), closed = helpers.log(), futures = {}, names = names }
  for _, name in ipairs(names) do self.futures[name] = async.Future() end
  function self.attempt(name)
    self.started(name)
    async.await(self.futures[name])
    return { name = name, close = function() self.closed(name) end }
  end
  function self.succeed(name) self.futures[name]:set_result() end
  function self.fail(name) self.futures[name]:set_exception(async.errors.OSError("no " .. name)) end
  function self.start(step)
    return async.create_task(function() return race(names, self.attempt, step).name end)
  end
  return self
end

--- Of "a" and "b", with both under way; and the task that races.
local function start_both()
  local a = attempts({ "a", "b" })
  local task = a.start(0.001)
  repeat async.sleep(0.001) until tostring(a.started) == "a b"
  return a, task
end

describe("A race", function()
  it("starts with the first candidate alone", function()
    run(function()
      local a = attempts({ "a", "b" })
      local task = a.start(60)
      settle()
      assert.equal("a", tostring(a.started))
      a.succeed("a")
      assert.equal("a", async.await(task))
      assert.equal("a", tostring(a.started))
      assert.equal("", tostring(a.closed))
    end)
  end)

  it("starts the next one at once when one fails", function()
    run(function()
      local a = attempts({ "a", "b", "c" })
      local task = a.start(60)
      settle()
      a.fail("a")
      settle()
      assert.equal("a b", tostring(a.started))
      a.fail("b")
      settle()
      assert.equal("a b c", tostring(a.started))
      a.succeed("c")
      assert.equal("c", async.await(task))
    end)
  end)

  it("starts the next one beside it after the step", function()
    run(function()
      local a = attempts({ "a", "b", "c" })
      local task = a.start(0.001)
      repeat async.sleep(0.001) until tostring(a.started) == "a b c"
      a.succeed("b")
      assert.equal("b", async.await(task))
      assert.equal("", tostring(a.closed))
    end)
  end)

  it("goes on with those that still run when one fails", function()
    run(function()
      local a, task = start_both()
      a.fail("b")
      settle()
      assert.is_false(task:done())
      a.succeed("a")
      assert.equal("a", async.await(task))
    end)
  end)

  it("raises the error of the last one when all fail", function()
    run(function()
      local a, task = start_both()
      a.fail("b")
      settle()
      a.fail("a")
      assert.equal("no a", failure(async.await, task).message)
    end)
  end)

  it("cancels those that have lost", function()
    run(function()
      local a, task = start_both()
      a.succeed("b")
      assert.equal("b", async.await(task))
      assert.is_true(a.futures.a:cancelled())
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("closes the second of two that succeed in one turn", function()
    run(function()
      local a, task = start_both()
      a.succeed("b")
      a.succeed("a")
      local winner = async.await(task)
      assert.equal(winner == "a" and "b" or "a", tostring(a.closed))
    end)
  end)

  it("cancels all when it is cancelled", function()
    run(function()
      local a, task = start_both()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_true(a.futures.a:cancelled())
      assert.is_true(a.futures.b:cancelled())
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("lets no failure of a loser be reported", function()
    run(function()
      local a, task = start_both()
      a.succeed("b")
      a.fail("a")
      assert.equal("b", async.await(task))
      helpers.collect_garbage()
    end)
  end)
end)

describe("net.connect to a name with several addresses", function()
  local core = require "luawait.core"
  local net = require "luawait.net"

  -- Connects to a name that has these addresses, of which only `working` answers. Returns the outcome, and the
  -- addresses in the order in which they were tried.
  local function connect(addresses, working)
    local tried, resolve, real = helpers.log(), core.net.resolve, core.net.connect
    local _ <close> = helpers.defer(function() core.net.resolve, core.net.connect = resolve, real end)
    core.net.resolve = function()
      local entries = {}
      for i, address in ipairs(addresses) do
        entries[i] = { address = address, family = address:find(":", 1, true) and "inet6" or "inet", port = 80 }
      end
      return entries
    end
    core.net.connect = function(address)
      tried(address)
      if address ~= working then error(async.OSError("no " .. address), 0) end
      return { close = function() end, address = address }
    end
    local ok, result = pcall(net.connect, "name.invalid", 80)
    return ok and result.address or tostring(result), tostring(tried)
  end

  it("tries the families in turn, the preferred one first", function()
    run(function()
      local result, tried = connect({ "::1", "::2", "::3", "10.0.0.1", "10.0.0.2" }, "::3")
      assert.equal("::3", result)
      assert.equal("::1 10.0.0.1 ::2 10.0.0.2 ::3", tried)
      result, tried = connect({ "10.0.0.1", "::1", "10.0.0.2" }, "10.0.0.2")
      assert.equal("10.0.0.2", result)
      assert.equal("10.0.0.1 ::1 10.0.0.2", tried)
    end)
  end)

  it("raises the error of the last one when none answers", function()
    run(function()
      local result, tried = connect({ "::1", "10.0.0.1" })
      assert.equal("OSError: no 10.0.0.1", result)
      assert.equal("::1 10.0.0.1", tried)
    end)
  end)
end)
