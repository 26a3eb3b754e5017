-- luawait.testing: the adapter for busted.
local async = require "luawait"
local testing = require "luawait.testing"
local helpers = require "spec.support.helpers"

local plain_it = it

-- What busted prints for a spec with this text, in an interpreter of its own; was all well; the path of the spec.
local function busted(spec)
  local name = os.tmpname()
  local path = name .. "_spec.lua" -- busted goes by that
  local _ <close> = helpers.defer(function()
    os.remove(name)
    os.remove(path)
  end)
  helpers.write_file(path, 'local async = require "luawait" local testing = require "luawait.testing" ' .. spec)
  local command = "timeout -k 1 60 '%s' scripts/busted.lua --output plainTerminal %s 2>&1"
  local pipe = assert(io.popen(command:format(os.getenv("LUA") or "lua5.4", path)))
  local text = pipe:read("a")
  return text, pipe:close() == true, path
end

describe("testing.it", function()
  local it = testing.it
  local log = helpers.log()

  before_each(function() log("before") end)
  after_each(function() log("after") end)

  it("runs a test as a main task, on a virtual clock", function()
    log("test")
    assert.equal("Task-1", async.current_task():get_name())
    async.sleep(3600)
    assert.equal(3600, async.time())
  end)

  plain_it("leaves before_each and after_each as they are", function()
    assert.equal("before test after before", tostring(log))
  end)

  it("takes options", function()
    assert.equal("RuntimeError", helpers.failure_kind(testing.advance, 1))
  end, { clock = "real" })

  it("has busted's finally and spies", function()
    local spy = spy.new(function() end)
    finally(function() assert.spy(spy).was_called(1) end)
    async.sleep(1)
    spy()
  end)

  local runs = 0

  it("explores", function() runs = runs + 1 end, { explore = 5 })

  plain_it("ran each seed", function() assert.equal(5, runs) end)

  plain_it("complains of wrong arguments when the test is defined", function()
    assert.is_truthy(helpers.failure_text(testing.it, "x", 1):find("bad argument #2 to 'it'", 1, true))
    local text = helpers.failure_text(testing.it, "x", print, { sead = 1 })
    assert.is_truthy(text:find("bad argument #3 to 'it' (unknown option 'sead')", 1, true), text)
    text = helpers.failure_text(testing.it, "x", print, { debug = 1 })
    assert.is_truthy(text:find("bad argument #3 to 'it' (option 'debug'", 1, true), text)
  end)
end)

describe("a test of testing.it that fails", function()
  it("is told of at its line, and the next one runs", function()
    local text, well, path = busted([[
      testing.it("fails", function()
        async.create_task(function() async.sleep(100) end)
        async.sleep(1)
        assert.equal(1, 2)
      end)
      testing.it("runs", function() async.sleep(1) end)
    ]])
    assert.is_false(well)
    assert.is_truthy(text:find("1 success / 1 failure / 0 errors", 1, true), text)
    assert.is_truthy(text:find(path .. ":4: Expected objects to be equal", 1, true), text)
    assert.is_truthy(text:find(path .. " @ 1", 1, true), text) -- where it is defined
  end)

  it("is cancelled, and cleaned up", function()
    local text = busted([[
      local log = {}
      testing.it("fails", function()
        async.create_task(function()
          local _ <close> = setmetatable({}, {__close = function() log[#log + 1] = "closed" end})
          async.sleep(100)
        end)
        async.sleep(1)
        error("broken")
      end)
      it("sees it", function() assert.same({"closed"}, log) end)
    ]])
    assert.is_truthy(text:find("1 success / 0 failures / 1 error", 1, true), text)
    assert.is_truthy(text:find("broken", 1, true), text)
  end)

  it("for taking too long is told what it waits for", function()
    local text = busted([[
      testing.it("hangs", function()
        while true do async.sleep(0) end
      end, {timeout = 0.05})
    ]])
    assert.is_truthy(text:find("TimeoutError: the test takes too long", 1, true), text)
    assert.is_truthy(text:find("Task-1", 1, true), text)
  end)

  it("for calling an async function without awaiting it is told of that", function()
    local text = busted([[
      local fetch = async(function() error("not reached") end)
      testing.it("does nothing", function() return fetch() end)
    ]])
    assert.is_truthy(text:find("0 successes / 0 failures / 1 error", 1, true), text)
    assert.is_truthy(text:find("was never awaited", 1, true), text)
  end)

  it("may be an async function", function()
    local text = busted([[
      testing.it("fails", async(function()
        async.sleep(1)
        error("reached")
      end))
    ]])
    assert.is_truthy(text:find("0 successes / 0 failures / 1 error", 1, true), text)
    assert.is_truthy(text:find("reached", 1, true), text)
  end)

  it("for what it leaves behind is told of that", function()
    local text = busted([[
      testing.it("leaks", function() async.create_task(function() async.sleep(100) end) end)
    ]])
    assert.is_truthy(text:find("LeakError: the test left behind", 1, true), text)
  end)
end)

describe("testing.it", function()
  it("without a function is pending", function()
    local text = busted('testing.it("to do")')
    assert.is_truthy(text:find("1 pending", 1, true), text)
  end)

  it("is for busted", function()
    local child = helpers.child([[
      package.path, package.cpath = package.path, package.cpath
      package.preload.busted = function() error("not here") end
      local testing = require "luawait.testing"
      testing.it("x", print)
    ]])
    assert.equal(1, child.status)
    assert.is_truthy(child.stderr:find("testing.it is for specs that busted runs", 1, true), child.stderr)
  end)
end)
