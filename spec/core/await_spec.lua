local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

local function slow(...)
  async.sleep(0)
  return ...
end

describe("await", function()
  it("returns all results of every kind of awaitable", function()
    run(function()
      local fut = async.Future()
      fut:set_result("x", nil, "z", nil)
      local object = setmetatable({}, { __await = function() return slow("x", nil, "z", nil) end })
      for _, awaitable in ipairs({
        async(slow)("x", nil, "z", nil), function() return slow("x", nil, "z", nil) end, fut, object,
        async.create_task(async(slow)("x", nil, "z", nil)),
      }) do
        assert.same({ n = 4, "x", nil, "z", nil }, table.pack(async.await(awaitable)))
      end
    end)
  end)

  it("waits for what is not finished yet", function()
    run(function()
      local fut = async.Future()
      async.call_soon(function() fut:set_result("late", 2) end)
      assert.same({ n = 2, "late", 2 }, table.pack(async.await(fut)))
    end)
  end)

  it("calls a function without arguments, and __await with the object", function()
    run(function()
      assert.equal(0, async.await(function(...) return select("#", ...) end))
      local object = setmetatable({}, { __await = function(...) return select("#", ...), (...) end })
      local count, self = async.await(object)
      assert.equal(1, count)
      assert.is_true(rawequal(object, self))
    end)
  end)

  it("runs coroutines, functions and __await in the task that awaits", function()
    run(function()
      local me = async.current_task()
      local object = setmetatable({}, { __await = async.current_task })
      for _, awaitable in ipairs({ async(async.current_task)(), async.current_task, object }) do
        assert.is_true(rawequal(me, async.await(awaitable)))
      end
      assert.equal(1, #async.all_tasks())
    end)
  end)

  it("raises the error of what it awaits, the very same value", function()
    run(function()
      for _, value in ipairs({ async.ValueError("object"), {}, "text", 42, io.stdout }) do
        local function bad()
          async.sleep(0)
          error(value, 0)
        end
        local fut = async.Future()
        fut:set_exception(value)
        local object = setmetatable({}, { __await = bad })
        for _, awaitable in ipairs({ async(bad)(), bad, async.create_task(bad), fut, object }) do
          assert.is_true(rawequal(value, failure(async.await, awaitable)))
        end
      end
    end)
  end)

  it("takes an __await object whose function awaits others", function()
    run(function()
      local inner = setmetatable({}, { __await = function() return async.await(async(slow)("inner")) end })
      local outer = setmetatable({}, { __await = function() return async.await(inner), "outer" end })
      assert.same({ n = 2, "inner", "outer" }, table.pack(async.await(outer)))
    end)
  end)
end)

describe("an async function", function()
  it("does nothing until it is awaited", function()
    run(function()
      local log = helpers.log()
      local co = async(function() log("body") end)()
      settle()
      log("before")
      async.await(co)
      assert.equal("before body", tostring(log))
    end)
  end)

  it("runs where a function is called and waited for", function()
    local fetch = async(function(...)
      async.sleep(0)
      return select("#", ...), "fetched"
    end)
    local function check(count, ...)
      assert.same({ n = 2, count, "fetched" }, table.pack(...))
    end
    check(0, async.run(fetch))
    check(0, async.run(async(fetch)))
    run(function()
      check(0, async.await(fetch))
      check(0, async.await(async.create_task(fetch)))
      check(0, async.wait_for(fetch, 1))
      check(0, async.shield(fetch))
      assert.same({ 0, 0, n = 2 }, async.gather({ fetch, fetch }))
      check(2, async.timeout(1, fetch, "a", "b"))
      check(1, async.timeout_at(async.time() + 1, fetch, "a"))
      check(1, async.Lock():with(fetch, "a"))
      check(1, async.task_group(fetch))
    end)
    check(0, require("luawait.testing").run(fetch))
  end)

  it("is described as what it runs", function()
    run(function()
      local body = function() async.sleep(0) end
      local task, plain = async.create_task(async(body)), async.create_task(body)
      local function described(which) return tostring(which):match("fn=(.*)>") end
      assert.equal(described(plain), described(task))
    end)
  end)

  it("holds its arguments, with nils", function()
    run(function()
      local co = async(table.pack)(nil, 2, nil, nil)
      assert.same({ n = 4, nil, 2, nil, nil }, async.await(co))
    end)
  end)

  it("can be a method, a field and a vararg function", function()
    local Account = {}
    Account.__index = Account
    Account.deposit = async(function(self, ...)
      for _, amount in ipairs({ ... }) do
        async.sleep(0)
        self.balance = self.balance + amount
      end
      return self.balance
    end)
    run(function()
      local account = setmetatable({ balance = 1 }, Account)
      assert.equal(7, async.await(account:deposit(1, 2, 3)))
      assert.equal(7, async.await(Account.deposit(account)))
    end)
  end)

  it("need not be one: a plain function waits just the same", function()
    run(function()
      local Account = { balance = 1 }
      function Account:deposit(amount)
        async.sleep(0)
        self.balance = self.balance + amount
        return self.balance, nil, "done"
      end
      assert.same({ n = 3, 3, nil, "done" }, table.pack(Account:deposit(2)))
    end)
  end)

  it("takes no more arguments than an object can hold", function()
    local fn = async(function(...) return select("#", ...) end)
    assert.equal(60000, async.run(fn(table.unpack({}, 1, 60000))))
    assert.matches("too many arguments", failure_text(fn, table.unpack({}, 1, 60001)), 1, true)
  end)

  it("may end without waiting at all", function()
    run(function() assert.equal("at once", async.await(async(function() return "at once" end)())) end)
  end)

  it("gives a new coroutine at each call", function()
    run(function()
      local double = async(function(n) return n * 2 end)
      local a, b = double(1), double(2)
      assert.is_false(rawequal(a, b))
      assert.equal(4, async.await(b))
      assert.equal(2, async.await(a))
    end)
  end)

  it("raises RuntimeError when a coroutine is awaited twice", function()
    run(function()
      local calls = 0
      local co = async(function() calls = calls + 1 end)()
      async.await(co)
      assert.equal("RuntimeError", failure_kind(async.await, co))
      assert.equal("RuntimeError", failure_kind(async.gather, co))
      assert.equal("RuntimeError", failure_kind(async.wait_for, co, 1))
      assert.equal("RuntimeError", failure_kind(async.shield, co))
      assert.equal(1, calls)
    end)
  end)

  it("raises RuntimeError when a coroutine is awaited while it runs", function()
    run(function()
      local co
      co = async(function()
        async.sleep(0)
        return failure_kind(async.await, co)
      end)()
      assert.equal("RuntimeError", async.await(co))
    end)
  end)

  it("must be made of a function", function()
    assert.matches("bad argument #1", failure_text(async, 42), 1, true)
    assert.matches("function expected, got number", failure_text(async, 42), 1, true)
    assert.matches("bad argument #1", failure_text(async), 1, true)
  end)

  it("names its coroutines", function()
    local fetch = async(function() end)
    local co = fetch()
    assert.matches("fetch", tostring(co), 1, true)
    assert.matches("[Cc]oroutine", tostring(co))
    async.run(co)
    assert.matches("(used)", tostring(co), 1, true)
  end)
end)

describe("a coroutine that nobody awaits", function()
  local message = "coroutine 'forgotten' was never awaited"

  it("is reported when it is collected", function()
    local reports = helpers.collect(function(reports)
      local forgotten = async(function() end)
      forgotten(1, 2)
      helpers.collect_garbage()
      settle()
      assert.equal(1, #reports)
    end)
    assert.equal(1, #reports)
    assert.matches(message, reports[1].message, 1, true)
  end)

  it("is reported once for each", function()
    local reports = helpers.collect(function()
      local forgotten = async(function() end)
      for _ = 1, 3 do forgotten() end
      helpers.collect_garbage()
      settle()
    end)
    assert.equal(3, #reports)
  end)

  it("is not reported once it was awaited, made a task or gathered, even if that never ran", function()
    run(function()
      local body = async(function() end)
      async.await(body())
      async.gather(body(), body())
      async.create_task(body())
      async.create_task(body()):cancel()
      settle()
      helpers.collect_garbage()
      settle()
    end)
  end)

  it("is reported on stderr by default, also outside of run", function()
    local result = helpers.child([[
local forgotten = async(function() end)
async.run(function()
  forgotten()
  collectgarbage()
  async.sleep(0)
end)
io.stderr:write("after run\n")
forgotten()
collectgarbage()]])
    assert.equal(0, result.status)
    local inside, outside = result.stderr:match("^(.*)after run\n(.*)$")
    assert.matches(message, inside, 1, true)
    assert.matches(message, outside, 1, true)
  end)
end)

describe("what is not awaitable", function()
  it("is refused with an argument error that names it", function()
    run(function()
      for _, value in ipairs({ 42, "text", true, {}, io.stdout }) do
        local text = failure_text(async.await, value)
        assert.matches("bad argument #1 to 'await'", text, 1, true)
        assert.matches(type(value) == "userdata" and "FILE%*" or type(value), text)
      end
    end)
  end)

  it("is explained for nothing: the callee waited already", function()
    run(function()
      local function fetch() async.sleep(0) end
      for _, text in ipairs({ failure_text(async.await, fetch()), failure_text(async.await, nil) }) do
        assert.matches("bad argument #1 to 'await'", text, 1, true)
        assert.matches("waited already", text, 1, true)
      end
    end)
  end)

  it("includes a plain coroutine and a table with an __await field", function()
    run(function()
      local co = coroutine.create(function() end)
      assert.matches("bad argument #1 to 'await'", failure_text(async.await, co), 1, true)
      local object = { __await = function() end }
      assert.matches("bad argument #1 to 'await'", failure_text(async.await, object), 1, true)
    end)
  end)
end)

describe("waiting outside a task", function()
  it("is a RuntimeError where no loop runs", function()
    assert.matches("^RuntimeError: await outside a task", failure_text(async.await, function() end))
    assert.equal("RuntimeError", failure_kind(async.sleep, 0))
    assert.equal("RuntimeError", failure_kind(async.gather, function() end))
  end)

  it("is a RuntimeError in a callback", function()
    local texts = {}
    run(function()
      local fut, event = async.Future(), async.Event()
      async.call_soon(function()
        texts[1] = failure_text(async.await, fut)
        texts[2] = failure_kind(async.sleep, 0)
        texts[3] = failure_kind(event.wait, event)
      end)
      settle()
      assert.equal(0, event:statistics().waiters)
    end)
    assert.matches("^RuntimeError: await outside a task", texts[1])
    assert.same({ "RuntimeError", "RuntimeError" }, { texts[2], texts[3] })
  end)

  it("leaves the coroutine as it was", function()
    local co = async(function() return "later" end)()
    failure(async.await, co)
    assert.equal("later", async.run(co))
  end)
end)

describe("waiting in a coroutine of the user's own", function()
  it("is a RuntimeError that names std.coroutine", function()
    run(function()
      local event, sem = async.Event(), async.Semaphore(0)
      for _, wait in ipairs({
        function() async.sleep(0) end, function() async.await(async.Future()) end,
        function() event:wait() end, function() sem:acquire() end,
        function() async.gather(async.Future()) end,
      }) do
        local ok, err = coroutine.resume(coroutine.create(wait))
        assert.is_false(ok)
        assert.equal("RuntimeError", err.name)
        assert.matches("std.coroutine", err.message, 1, true)
      end
      assert.equal(0, event:statistics().waiters)
      assert.equal(0, sem:statistics().waiters)
      async.sleep(0)
    end)
  end)

  it("does not concern coroutines that only yield", function()
    run(function()
      local seen = {}
      local generate = coroutine.wrap(function()
        for i = 1, 3 do coroutine.yield(i) end
      end)
      for value in generate do
        async.sleep(0)
        seen[#seen + 1] = value
      end
      assert.same({ 1, 2, 3 }, seen)
    end)
  end)

  it("does not let a foreign yield reach the scheduler", function()
    run(function()
      local task = async.create_task(function() return coroutine.yield("mine") end)
      assert.equal("RuntimeError", failure_kind(async.await, task))
    end)
  end)
end)

describe("waiting where Lua cannot yield", function()
  -- the C function, the name of its replacement in luawait.std, and a call that waits inside of it
  local places = {
    { "table.sort", "sort", function(wait) table.sort({ 3, 2, 1 }, function(a, b) wait() return a < b end) end },
    { "table.sort", "sort", function(wait)
      local class = {}
      class.__lt = function() wait() return true end
      table.sort({ setmetatable({}, class), setmetatable({}, class) }, function(a, b) return a < b end)
    end },
    { "string.gsub", "gsub", function(wait) string.gsub("abc", ".", function() wait() end) end },
    { "string.gsub", "gsub", function(wait) return ("abc"):gsub(".", function() wait() end) end },
    { "tostring", "tostring", function(wait)
      tostring(setmetatable({}, { __tostring = function() wait() return "x" end }))
    end },
    { "require", "require", function(wait)
      package.preload["spec.waits"] = function() wait() end
      require "spec.waits"
    end },
  }

  for _, place in ipairs(places) do
    it("is a RuntimeError that names " .. place[1] .. " and its replacement in luawait.std", function()
      run(function()
        for _, wait in ipairs({ function() async.sleep(0) end, function() async.await(async.Future()) end }) do
          local err = failure(place[3], wait)
          assert.equal("RuntimeError", err.name)
          assert.matches(place[1], err.message, 1, true)
          assert.matches("luawait%.std.*" .. place[2], err.message)
        end
        async.sleep(0)
      end)
    end)
  end

  it("names a function that is in no library by the name that it is called by", function()
    local output = helpers.child_output([[
local replace = string.gsub
string.gsub = nil
async.run(function()
  print(select(2, pcall(replace, "a", ".", function() async.sleep(0) end)))
  local ok, err = pcall(function()
    local result = replace("a", ".", function() async.sleep(0) end)
    return result
  end)
  print(ok, err)
end)]])
    assert.matches("^RuntimeError: [^\n]+\nfalse\tRuntimeError: cannot wait inside replace", output)
  end)

  it("is one in other C functions too", function()
    run(function()
      local waiting = setmetatable({}, { __tostring = function() async.sleep(0) return "x" end })
      assert.equal("RuntimeError", failure_kind(string.format, "%s", waiting))
      local slow_list = setmetatable({}, { __index = function() async.sleep(0) return "x" end })
      assert.equal("RuntimeError", failure_kind(table.concat, slow_list, "", 1, 2))
      local ok, message = load(function() async.sleep(0) end)
      assert.is_nil(ok)
      assert.equal("RuntimeError", helpers.kind(message))
    end)
  end)

  it("is one in a finalizer, whoever made the collector run", function()
    run(function()
      local err
      setmetatable({}, { __gc = function() err = failure(async.sleep, 0) end })
      helpers.collect_garbage()
      assert.equal("RuntimeError", err.name)
      assert.matches("__gc", err.message, 1, true)
      err = nil
      setmetatable({}, { __gc = function() err = failure(async.sleep, 0) end })
      while not err do local _ = {} end
      assert.equal("RuntimeError", err.name)
      assert.matches("__gc", err.message, 1, true)
      async.sleep(0)
    end)
  end)

  it("in a message handler ends the xpcall, and nothing else", function()
    run(function()
      assert.is_false((xpcall(error, function() async.sleep(0) end, "x")))
      assert.equal("went on", slow("went on"))
    end)
  end)

  it("leaves the coroutines that were to be waited for as they were", function()
    run(function()
      for _, wait in ipairs({ async.gather, async.shield, function(co) async.wait({ co }) end }) do
        local co = async(function() return "later" end)()
        assert.equal("RuntimeError", failure_kind(string.gsub, "a", ".", function() wait(co) end))
        assert.equal("later", async.await(co))
      end
    end)
  end)
end)

describe("waiting where Lua can yield", function()
  it("works in nested pcall and xpcall", function()
    run(function()
      local function nested(depth)
        if depth == 0 then return slow("bottom", nil, 3) end
        return select(2, pcall(function() return select(2, xpcall(nested, debug.traceback, depth - 1)) end))
      end
      assert.same({ n = 3, "bottom", nil, 3 }, table.pack(nested(20)))
    end)
  end)

  it("works in metamethods", function()
    run(function()
      local Slow = {}
      for _, event in ipairs({ "add", "concat", "call", "unm", "index", "len", "eq", "lt", "le" }) do
        Slow["__" .. event] = function() return slow(event) end
      end
      local a, b = setmetatable({}, Slow), setmetatable({}, Slow)
      assert.same({ "add", "concat", "call", "unm", "index", "len" }, { a + b, a .. b, a(), -a, a.field, #a })
      assert.same({ true, true, true }, { a == b, a < b, a <= b })
      local stored
      local sink = setmetatable({}, { __newindex = function(_, _, value) stored = slow(value) end })
      sink.field = "newindex"
      assert.equal("newindex", stored)
    end)
  end)

  it("works in for-iterators and pairs", function()
    run(function()
      local seen = helpers.log()
      for value in function(_, last) return slow((last or 0) < 3 and (last or 0) + 1 or nil) end do seen(value) end
      local list = setmetatable({}, { __pairs = function()
        async.sleep(0)
        return slow, nil, nil
      end })
      for value in pairs(list) do seen(value) end
      assert.equal("1 2 3", tostring(seen))
    end)
  end)

  it("works in a <close> handler, on the normal way out, on an error and on a cancellation", function()
    run(function()
      local log = helpers.log()
      local function body(name, leave)
        local _ <close> = helpers.defer(function()
          log(slow(name))
        end)
        leave()
      end
      body("normal", function() end)
      assert.equal("broken", failure(body, "error", function() error("broken", 0) end))
      local task = async.create_task(async(body)("cancel", helpers.forever))
      settle()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.equal("normal error cancel", tostring(log))
    end)
  end)

  it("works in dofile and loaded chunks", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, "require('luawait').sleep(0) return 'from the file'")
    run(function()
      assert.equal("from the file", dofile(path))
      assert.equal("from the chunk", load("return ...")(slow("from the chunk")))
    end)
  end)
end)
