-- Every allocation of a program fails once, in turn: it may end with an error, but not with a crash, a hang, or a leak.
local helpers = require "spec.support.helpers"

local host = os.tmpname()

local function flags()
  for _, name in ipairs({ "lua5.4", "lua-5.4", "lua54", "lua" }) do
    local pipe <close> = assert(io.popen(("pkg-config --cflags --libs '%s >= 5.4' 2>/dev/null"):format(name)))
    local text = pipe:read("l")
    if text then return text end
  end
  return "-I/usr/include/lua5.4 -llua5.4"
end

local function build()
  local line = "%s -std=c11 -g -Wl,-E -o %s spec/support/alloc_fail.c %s -lm 2>/dev/null"
  if os.execute("uname | grep -q Darwin") then line = line:gsub("%-Wl,%-E ", "") end
  return os.execute(line:format(os.getenv("CC") or "cc", host, flags()))
end

local function play(mode, program, prelude)
  local files = { os.tmpname(), os.tmpname(), os.tmpname() }
  local _ <close> = helpers.defer(function() for _, name in ipairs(files) do os.remove(name) end end)
  helpers.write_file(files[1], program)
  if prelude then helpers.write_file(files[2], prelude) end
  local preload = os.getenv("LUAWAIT_ASAN_PRELOAD")
  local line = ("timeout -k 1 240 env %s '%s' %s '%s' %s 2>'%s'"):format(
    preload and ("LD_PRELOAD='%s'"):format(preload) or "", host, mode, files[1],
    prelude and ("'%s'"):format(files[2]) or "", files[3])
  local pipe = assert(io.popen(line))
  local rounds = pipe:read("a")
  local ok, how, code = pipe:close()
  local errors = helpers.read_file(files[3])
  assert(ok, ("%s %s: %s"):format(how, code, errors:sub(-4000)))
  return tonumber(rounds)
end

local loaded = 'async = require "luawait" std = require "luawait.std" async.set_exception_handler(function() end)'

local programs = {
  ["tasks, and what outlives their run"] = [[
    local kept = { event = async.Event(), future = async.Future() }
    pcall(async.run, function()
      local task = async.create_task(function() return async.sleep(0.0001, 1, 2, 3) end, { name = "x" })
      async.create_task(function() kept.event:wait() end)
      async.create_task(function() async.await(kept.future) end)
      async.create_task(function() async.gather(kept.future, async.Future()) end)
      async.create_task(function() async.wait({ kept.future }, { timeout = 10 }) end)
      kept.handle = async.call_later(10, print, 1)
      kept.future:add_done_callback(function() end)
      kept.scope = async.timeout(10)
      async.sleep(0)
      return async.await(task)
    end)
    collectgarbage()
    kept.event:set()
    pcall(kept.future.set_result, kept.future, 1)
    if kept.handle then kept.handle:cancel() end
    kept = nil
    collectgarbage()]],
  ["combinators, scopes and locks"] = [[
    async.run(function()
      local sem, lock, event = async.Semaphore(1), async.Lock(), async.Event()
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = async.create_task(function()
          local _ <close> = sem:acquire()
          lock:with(async.sleep, 0)
          event:wait()
        end)
      end
      async.call_soon(event.set, event)
      async.wait(tasks, { timeout = 0.001 })
      async.gather(table.unpack(tasks))
      async.gather({ a = function() error("x") end, b = function() return 1 end }, { return_exceptions = true })
      for task in async.as_completed({ function() async.sleep(0) end, function() return 2 end }) do task:result() end
      pcall(async.timeout, 0.0001, async.sleep, 0.001)
      pcall(async.wait_for, async.create_task(function() async.sleep(0.001) end), 0.0001)
      pcall(async.task_group, function(tg)
        tg:create_task(function() error("y") end)
        async.sleep(0.001)
      end)
      local task = async.create_task(function() async.shield(async.create_task(function() async.sleep(0.0005) end)) end)
      async.sleep(0)
      task:cancel("why")
      pcall(async.await, task)
      return tostring(task), task:get_stack(), task:waiting_on()
    end)]],
  ["conditions and barriers"] = [[
    async.run(function()
      local cond, barrier = async.Condition(), async.Barrier(2)
      local waiter = async.create_task(function()
        local _ <close> = cond:acquire()
        cond:wait()
        return barrier:wait()
      end)
      local cancelled = async.create_task(function() cond:with(cond.wait, cond) end)
      async.sleep(0)
      cond:with(function()
        cond:notify()
        cancelled:cancel("why")
        async.sleep(0)
        tostring(cond)
        waiter:waiting_on()
      end)
      barrier:wait()
      pcall(async.await, cancelled)
      async.await(waiter)
      return cond:statistics(), barrier:statistics(), tostring(barrier)
    end)]],
  -- whatever failed, each queue gives back what it says that it took, in order, and no more
  ["queues"] = [[
    local function fill(queue, order)
      local put = {}
      for i = 1, 20 do
        if pcall(queue.put_nowait, queue, i) then put[#put + 1] = i end
      end
      local size, unfinished = queue:qsize(), queue:statistics().unfinished
      if size ~= #put or unfinished ~= #put then os.exit(7) end
      for n = 1, #put do
        local expected = put[order == "lifo" and #put + 1 - n or n]
        local ok, item = pcall(queue.get_nowait, queue)
        if not ok then
          if queue:qsize() ~= size then os.exit(8) end
          item = queue:get_nowait()
        end
        if item ~= expected then os.exit(9) end
        size = size - 1
      end
      if not queue:empty() then os.exit(10) end
    end
    fill(async.Queue())
    fill(async.LifoQueue(), "lifo")
    fill(async.PriorityQueue())
    fill(async.PriorityQueue(0, function(a, b) return ("%04d"):format(a) < ("%04d"):format(b) end))
    async.run(function()
      local queue = async.PriorityQueue(1)
      local getter = async.create_task(function() return queue:get() + queue:get() end)
      async.sleep(0)
      queue:put(2)
      queue:put(1)
      queue:put(3)
      async.wait({ getter })
      tostring(queue)
      queue:shutdown(true)
      for _ in queue:iter() do end
      for _ = 1, queue:statistics().unfinished do queue:task_done() end
      queue:join()
    end)]],
  ["debug mode, reports, a deadlock, tasks that go by force"] = [[
    local fn = async(function(a) return async.sleep(0, a) end)
    pcall(async.run, function()
      async.set_exception_handler(function(info) return info.message .. tostring(info.error) end)
      async.create_task(fn(1))
      async.call_soon(error, "callback")
      fn(3)
      local event = async.Event()
      local task = async.create_task(function() for _ = 1, 5 do pcall(event.wait, event) end end)
      async.sleep(0)
      task:cancel()
      async.sleep(0)
      async.create_task(function() error("unseen") end)
      async.sleep(0)
      async.await(async.Future())
    end, { debug = true, slow_callback = 0, shutdown_timeout = 0.001 })
    collectgarbage()]],
  ["std"] = [[
    async.run(function()
      local co = std.coroutine.wrap(function()
        async.sleep(0)
        std.coroutine.yield(1)
        async.sleep(0.0001)
      end)
      co()
      co()
      std.sort({ 3, 2, 1 }, function(a, b) return async.sleep(0, a < b) end)
      std.gsub("abc", "%w", function(c) return async.sleep(0, c) end)
      std.pcall(function() async.sleep(0) error({}) end)
      std.xpcall(function() async.sleep(0) error("x") end, debug.traceback)
    end)]],
  ["a Runner, closed and dropped"] = [[
    local task
    do
      local runner <close>, event = async.Runner(), async.Event()
      local clean = setmetatable({}, { __close = function() pcall(async.sleep, 0) end })
      runner:run(function()
        task = async.create_task(function()
          local _ <close> = clean
          event:wait()
        end)
        async.sleep(0)
      end)
      event:set()
      runner:run(function() return async.await(task) end)
    end
    local dropped = async.Runner()
    dropped:run(function()
      task = async.create_task(function() async.sleep(10) end)
      async.sleep(0)
    end)
    dropped, task = nil, nil
    collectgarbage()]],
}

describe("without memory:", function()
  local built

  setup(function() built = build() end)
  teardown(function() os.remove(host) end)

  local function round(mode, program, prelude)
    if not built then return pending("no C compiler, or no liblua to link with") end
    assert.is_true(play(mode, program, prelude) > 20)
  end

  it("opening the module", function() round("once", 'require "luawait"') end)

  for name, program in pairs(programs) do
    it(name .. ": one failure", function() round("once", program, loaded) end)
    it(name .. ": no memory from there on", function() round("on", program, loaded) end)
  end
end)
