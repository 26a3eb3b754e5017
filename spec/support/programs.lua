--- Programs that together touch every public function, for the specs that put obstacles in the way of each of their
-- steps: an allocation fails, a call of libuv fails, the state is closed, the collector runs.
--
-- Each is Lua source with `async`, `std`, `net`, `fs`, `process`, `signal`, `testing` and `tty` as globals (see
-- prelude_of). It ends by itself, well if nothing is put in its way; whatever is, it ends in time, with an error or
-- without. Where one part of a program fails, the others come to know it by means of the library.
local programs = {}

-- With what the names of all files begin that programs make.
local scratch = os.tmpname()

local MODULES = { "std", "net", "fs", "process", "signal", "testing", "tty" }

local prelude = [[
async = require "luawait"
async.set_exception_handler(function() end)
-- One that has lost a wake-up ends with TimeoutError. Where memory runs out (torture.c sets `starving`) that may be the
-- program's own fault: it ends soon.
function run(fn, opts)
  return async.run(function() return async.timeout(starving and 0.1 or 20, fn) end, opts)
end
]]

-- new_path() gives a name for a file or directory that no other call gives, nor any in another state.
local paths = [[
local name, count = os.tmpname(), 0
os.remove(name)
function new_path()
  count = count + 1
  return %q .. name:match("[^/]*$") .. count
end
]]

--- What runs before the program with this source: it makes what is named there and no more, since that happens anew for
--- each of its steps.
function programs.prelude_of(source)
  local lines = { prelude }
  if source:find("new_path", 1, true) then lines[2] = paths:format(scratch) end
  for _, name in ipairs(MODULES) do
    local named = source:find("%f[%w_]" .. name .. "%.")
    if named then lines[#lines + 1] = ('%s = require "luawait.%s"\n'):format(name, name) end
  end
  return table.concat(lines)
end

local sources = {}
programs.sources = sources

sources["tasks, and what outlives their run"] = [[
  local kept = { event = async.Event(), future = async.Future() }
  run(function()
    local task = async.create_task(function() return async.sleep(0.0001, 1, 2, 3) end, { name = "x" })
    async.create_task(function() kept.event:wait() end)
    async.create_task(function() async.await(kept.future) end)
    async.create_task(function() async.gather(kept.future, async.Future()) end)
    async.create_task(function() async.wait({ kept.future }, { timeout = 10 }) end)
    kept.handle = async.call_later(10, print, 1)
    kept.future:add_done_callback(function() end)
    kept.future:add_done_callback(print)
    kept.future:remove_done_callback(print)
    kept.scope = async.timeout(10)
    async.sleep(0)
    task:set_name(task:get_name() .. #async.all_tasks())
    return async.await(task)
  end)
  collectgarbage()
  kept.event:set()
  if not kept.future:done() then kept.future:set_result(1) end
  if kept.handle and not kept.handle:cancelled() then kept.handle:cancel() end
  kept = nil
  collectgarbage()]]

sources["what tasks and futures tell, and how they are cancelled"] = [[
  run(function()
    local failed, fine = async.Future(), async.Future()
    failed:set_exception(async.ValueError("x", { y = 1 }))
    fine:set_result(1, 2)
    assert(failed:exception().y == 1 and select("#", fine:result()) == 2)
    local handle = async.call_at(async.time() + 3600, print)
    assert(handle:when() > async.time())
    handle:cancel()
    assert(handle:cancelled())
    local waiting = async.create_task(function()
      local ok, err = pcall(async.await, async.Future())
      assert(not ok and async.errors.is(err, async.CancelledError))
      async.current_task():uncancel()
      async.xpcall(async.sleep, debug.traceback, 0)
      async.pcall(error, "x")
      return tostring(async.errors.class("Mine", async.Error)("text"))
    end)
    async.sleep(0)
    local texts = { tostring(waiting), waiting:get_stack(), waiting:waiting_on(), waiting:state() }
    assert(#texts == 4)
    local early = async.create_task(print)
    early:cancel()
    waiting:cancel("why")
    assert(waiting:cancelling() == 1)
    assert(async.await(waiting) == "Mine: text")
    assert(early:cancelled() and fine:cancel() == false)
  end)]]

sources["callbacks"] = [[
  run(function()
    assert(async.from_callback(async.call_later, 0.0001) == nil)
  end)]]

sources["input"] = [[
  local input = require("luawait.core").input
  local pipe <close> = io.popen("echo x")
  run(function()
    input.ready(0)
    for fd = 3, 6 do async.pcall(async.timeout, 0.01, input.ready, fd) end
    assert(input.is_terminal(0) == false and input.read(0) == nil)
  end)]]

sources["combinators"] = [[
  run(function()
    local one = async(function() return async.sleep(0, 1) end)
    async.gather(one(), one)
    local results = async.gather({ a = function() error("x") end, b = one() }, { return_exceptions = true })
    assert(async.is_failure(results.a))
    local tasks = {}
    for i = 1, 3 do tasks[i] = async.create_task(function() async.sleep(i / 10000) end) end
    async.wait(tasks, { timeout = 0.0001, return_when = async.FIRST_COMPLETED })
    async.wait(tasks, { return_when = async.FIRST_EXCEPTION })
    async.wait(tasks, { return_when = async.ALL_COMPLETED })
    for task in async.as_completed({ function() async.sleep(0) end, function() return 2 end }, { timeout = 10 }) do
      task:result()
    end
    local inner = async.create_task(function() async.sleep(0.0005) end)
    local task = async.create_task(function() async.shield(inner) end)
    async.sleep(0)
    task:cancel("why")
    pcall(async.await, task)
    async.await(inner)
  end)]]

sources["scopes and groups"] = [[
  run(function()
    pcall(async.timeout, 0.0001, async.sleep, 0.001)
    pcall(async.timeout_at, async.time(), async.sleep, 0.001)
    pcall(async.wait_for, async.create_task(function() async.sleep(0.001) end), 0.0001)
    async.wait_for(async(function() return 1 end)(), 10)
    do
      local scope <close> = async.timeout(10)
      scope:reschedule(scope:when() + 1)
      assert(not scope:expired())
      async.sleep(0)
    end
    pcall(async.task_group, function(tg)
      tg:create_task(function() error("y") end)
      async.sleep(0.001)
    end)
    do
      local tg <close> = async.TaskGroup()
      for _ = 1, 2 do tg:create_task(function() async.sleep(0.0001) end, { name = "of a group" }) end
    end
    async.task_group(function(tg)
      tg:create_task(function() async.sleep(math.huge) end)
      async.sleep(0)
      tg:cancel()
    end)
  end)]]

-- The first in the heap of timers, and the first with so many arguments: that needs memory.
sources["a callback's timer, a deadline that is moved, many arguments"] = [[
  async.run(function()
    async.call_later(0, function() end)
    async.create_task(async(function(...) assert(select("#", ...) == 60) end)(table.unpack({}, 1, 60)))
    async.sleep(0)
  end)
  run(function()
    local scope <close> = async.timeout(10)
    scope:reschedule(0)
    pcall(async.sleep, 0.0001)
  end)]]

sources["locks, semaphores, events"] = [[
  run(function()
    local sem, lock, event = async.Semaphore(1), async.Lock(), async.Event()
    local bounded = async.BoundedSemaphore(1)
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = async.create_task(function()
        local _ <close> = sem:acquire()
        lock:with(async.sleep, 0)
        bounded:with(async.sleep, 0)
        local held <close> = lock:acquire()
        event:wait()
      end)
    end
    async.call_soon(event.set, event)
    async.sleep(0)
    assert(sem:value() == 0 and sem:locked() and sem:statistics().waiters == 2)
    assert(lock:statistics() and event:statistics())
    tasks[3]:cancel()
    async.wait(tasks)
    assert(event:is_set() and not lock:locked())
    event:clear()
    lock:acquire()
    lock:release()
    sem:acquire()
    sem:release()
    pcall(bounded.release, bounded)
  end)]]

sources["conditions and barriers"] = [[
  run(function()
    local condition, stage = async.Condition(), 0
    local barrier, tasks = async.Barrier(3), {}
    for i = 1, 3 do
      tasks[i] = async.create_task(function()
        condition:with(condition.wait_for, condition, function() return stage == 1 end)
        pcall(barrier.wait, barrier)
        condition:acquire()
        if stage == 1 then condition:wait() end
        condition:release()
      end)
    end
    async.sleep(0)
    assert(condition:statistics() and not condition:locked() and barrier:parties() == 3)
    do
      local held <close> = condition:acquire()
      stage = 1
      condition:notify(1)
      condition:notify_all()
    end
    async.sleep(0)
    assert(barrier:statistics() and barrier:n_waiting() <= 3 and not barrier:broken())
    local _, pending = async.wait(tasks, { timeout = 0.001 })
    condition:with(function()
      stage = 2
      condition:notify_all()
    end)
    for _, task in ipairs(pending) do pcall(async.wait_for, task, 0.01) end
    barrier:reset()
    local waiter = async.create_task(function() barrier:wait() end)
    async.sleep(0)
    barrier:abort()
    async.wait({ waiter })
  end)]]

sources["queues"] = [[
  run(function()
    for _, queue in ipairs({ async.Queue(2), async.PriorityQueue(2), async.LifoQueue(2),
        async.PriorityQueue(0, function(a, b) return a > b end) }) do
      async.task_group(function(tg)
        tg:create_task(function()
          for i = 1, 5 do queue:put(i) end
          queue:join()
          queue:shutdown()
        end)
        tg:create_task(function()
          for _ in queue:iter() do
            queue:task_done()
            async.sleep(0)
          end
        end)
        async.sleep(0)
        local idle = tg:create_task(function()
          queue:get()
          queue:task_done()
        end)
        async.sleep(0)
        idle:cancel()
        assert(queue:statistics() and queue:maxsize() <= 2 and queue:qsize() >= 0)
      end)
      queue:shutdown(true)
      assert(queue:empty() and not queue:full())
    end
    local few = async.Queue(1)
    few:put_nowait(1)
    pcall(few.put_nowait, few, 2)
    few:get_nowait()
    pcall(few.get_nowait, few)
  end)]]

sources["conditions and barriers, a cancellation beside a notification"] = [[
  run(function()
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
  end)]]

-- Whatever failed, each queue gives back what it says that it took, in order, and no more.
sources["queues, filled and emptied"] = [[
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
  run(function()
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
  end)]]

sources["debug mode, reports, a deadlock, tasks that go by force"] = [[
  local fn = async(function(a) return async.sleep(0, a) end)
  local ok = pcall(async.run, function()
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
  end, { debug = true, slow_callback = 0, shutdown_timeout = 0.001, signals = false })
  assert(not ok)
  collectgarbage()]]

sources["a watchdog"] = [[
  run(function() async.sleep(0) end, { watchdog = 3600, signals = true })]]

sources["std"] = [[
  run(function()
    std.install()
    local _ <close> = setmetatable({}, { __close = std.uninstall })
    local co = std.coroutine.wrap(function()
      async.sleep(0)
      std.coroutine.yield(std.coroutine.isyieldable(), std.coroutine.running())
      async.sleep(0.0001)
    end)
    co()
    co()
    local other = std.coroutine.create(function() async.sleep(0) std.coroutine.yield() end)
    std.coroutine.resume(other)
    assert(std.coroutine.status(other) == "suspended" and std.coroutine.close(other))
    std.sort({ 3, 2, 1 }, function(a, b) return async.sleep(0, a < b) end)
    std.gsub("abc", "%w", function(c) return async.sleep(0, c) end)
    std.pcall(function() async.sleep(0) error({}) end)
    std.xpcall(function() async.sleep(0) error("x") end, debug.traceback)
    std.tostring(setmetatable({}, { __tostring = function() return async.sleep(0, "text") end }))
    std.load(function() return async.sleep(0, nil) end)
    package.preload.of_this_program = function() return async.sleep(0, {}) end
    std.require("of_this_program")
    package.preload.of_this_program, package.loaded.of_this_program = nil, nil
  end)]]

sources["a Runner, closed and dropped"] = [[
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
    runner:close()
  end
  local dropped = async.Runner()
  dropped:run(function()
    task = async.create_task(function() async.sleep(10) end)
    async.sleep(0)
  end)
  dropped, task = nil, nil
  collectgarbage()
  collectgarbage()]]

sources["net: a server, its clients, each way to read"] = [[
  run(function()
    local server <close> = net.serve("127.0.0.1", 0, function(stream)
      stream:set_nodelay(true)
      stream:set_keepalive(true, 60)
      for line in stream:lines() do
        stream:write(line, "\n")
        stream:flush()
      end
      stream:write("the rest")
      stream:shutdown()
    end, { backlog = 8, max_connections = 1, reuseport = true })
    local host, port = server:address()
    for _ = 1, 2 do
      local client <close> = net.connect(host, port, { timeout = 10, local_address = "127.0.0.1" })
      assert(client:peername() == host and client:sockname())
      client:write("one\r\ntwo\nthree\nfour\n", "five\n")
      client:read_line()
      client:read_until("\n")
      client:read_exactly(5)
      client:read(4)
      client:read_line()
      client:shutdown()
      client:read_all()
      assert(tostring(client) and client:statistics() and not client:is_closing())
      client:close()
    end
    assert(tostring(server) and server:statistics() and not server:is_closing())
    server:close()
    server:serve_forever()
    server:shutdown(1)
  end)]]

sources["net: more than fits the socket, readers and writers that wait and are cancelled"] = [[
  run(function()
    local bulk = ("x"):rep(1 << 19)
    local server <close> = net.serve("127.0.0.1", 0, function(stream)
      for _ = 1, 8 do stream:write(bulk) end
      stream:flush()
    end)
    local _, port = server:address()
    local client <close> = net.connect("127.0.0.1", port)
    local reader = async.create_task(function() return client:read_exactly(#bulk) end)
    async.sleep(0)
    reader:cancel()
    pcall(async.await, reader)
    repeat until not client:read()
    net.connect("127.0.0.1", port):abort()
    server:shutdown(0)
  end)]]

sources["net: Unix sockets"] = [[
  run(function()
    local path = new_path()
    local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
    local server <close> = net.serve_unix(path, function(stream)
      stream:write(#stream:read_all(), "\n")
    end, { backlog = 8, max_connections = 1 })
    assert(server:address() == path and tostring(server))
    for _ = 1, 2 do
      local client <close> = net.connect_unix(path, { timeout = 10 })
      assert(client:peername() == path and not client:sockname() and tostring(client))
      client:write("one\n", ("x"):rep(300000), "\n")
      client:shutdown()
      client:read_line()
      client:read_all()
      pcall(client.set_nodelay, client, true)
    end
    assert(not pcall(net.serve_unix, path, print))
    assert(not pcall(net.connect_unix, path .. "/x"))
  end)]]

-- A datagram may get lost on the way of a fault: whoever waits for one gives up soon.
sources["net: datagrams"] = [[
  run(function()
    local function receive(socket) return pcall(async.timeout, 0.01, socket.recv, socket) end
    local one <close> = net.udp { host = "127.0.0.1", broadcast = true, reuseaddr = true }
    local _, port = one:sockname()
    local two <close> = net.udp { remote_host = "127.0.0.1", remote_port = port, family = "inet", max_size = 100 }
    assert(two:peername() and tostring(one) and tostring(two) and two:statistics())
    for i = 1, 3 do two:send(i) end
    local ok, _, host, back = receive(one)
    if ok then
      one:send("", host, back)
      one:send(("x"):rep(200), host, back)
      receive(two)
      receive(two)
    end
    pcall(two.send, two, ("x"):rep(65536))
    one:set_broadcast(false)
    one:set_ttl(2)
    one:set_multicast_ttl(2)
    one:set_multicast_loop(true)
    pcall(one.set_multicast_interface, one, "127.0.0.1")
    pcall(one.join, one, "239.255.77.8", "127.0.0.1")
    pcall(one.leave, one, "239.255.77.8", "127.0.0.1")
    async.call_soon(two.send, two, "from a callback")
    receive(one)
    if faults then faults.busy(true) end -- what is sent has to be queued
    for i = 1, 2 do pcall(two.send, two, i) end
    async.call_soon(two.send, two, "from a callback")
    local sending = async.create_task(function() two:send("cancelled") end)
    async.sleep(0)
    sending:cancel()
    receive(one)
    if faults then faults.busy(false) end
    local waiting = async.create_task(function() receive(one) receive(one) return one:recv() end)
    async.sleep(0)
    one:close()
    pcall(async.await, waiting)
    assert(one:is_closing())
    pcall(net.udp, { host = "127.0.0.1", port = port, remote_host = "::1", remote_port = 9 })
  end)]]

sources["net: names"] = [[
  run(function()
    assert(net.resolve("127.0.0.1", 80)[1].port == 80)
    net.resolve("localhost", "80", { family = "inet" })
    async.pcall(net.reverse, "127.0.0.1") -- pcall would swallow the end of the time that `run` gives
    local task = async.create_task(function() net.resolve("localhost") end)
    async.sleep(0)
    task:cancel()
    async.wait({ task })
    local server <close> = net.serve("localhost", 0, function(stream) stream:close() end)
    local _, port = server:address()
    local client <close> = net.connect("localhost", port)
    client:read()
  end)]]

-- For the programs below: runs fn(dir) with an empty directory.
local files = [[
  local function in_directory(fn)
    local dir = new_path()
    run(function()
      fs.mkdir(dir)
      fn(dir)
    end)
  end
]]

sources["fs: whole files, names, attributes"] = files .. [[
  in_directory(function(dir)
    local a, b = dir .. "/a", dir .. "/b"
    fs.write_file(a, "text")
    fs.write_file(a, "more", { append = true })
    fs.write_file(b, "other", { atomic = true, mode = 420 })
    fs.write_file(b, "other still", { atomic = true })
    assert(fs.read_file(a) == "textmore")
    fs.mkdir(dir .. "/x/y", { parents = true, exist_ok = true })
    fs.rmdir(dir .. "/x/y")
    fs.rename(a, dir .. "/c")
    fs.copy(b, a)
    fs.link(a, dir .. "/d")
    fs.symlink("d", dir .. "/e")
    assert(fs.readlink(dir .. "/e") == "d" and fs.realpath(dir .. "/e"))
    fs.remove(dir .. "/c")
    fs.chmod(a, 384)
    fs.chown(a, -1, -1)
    fs.utime(a, 1, 2)
    assert(fs.stat(a).mtime == 2 and fs.lstat(dir .. "/e").type == "link")
    assert(fs.exists(a) and fs.access(a, "r") and not fs.exists(dir .. "/none"))
  end)]]

sources["fs: open files"] = files .. [[
  in_directory(function(dir)
    local file <close> = fs.open(dir .. "/a", "w+")
    file:write("one\n", "two\n", 3, "\n"):sync()
    assert(file:stat().size == 10 and file:seek("set", 0) == 0)
    assert(file:read("l", "L") == "one")
    for line in file:lines() do assert(line == "3") end
    file:truncate(4)
    file:seek("set")
    local tasks = {}
    for i = 1, 4 do tasks[i] = async.create_task(function() return file:read(1) end) end
    async.sleep(0)
    tasks[2]:cancel()
    async.wait(tasks)
    for i = 1, 4 do if tasks[i]:state() == "failed" then tasks[i]:exception() end end
    assert(tostring(file))
    file:close()
    local other <close>, path = fs.mkstemp(dir .. "/t")
    local reader = async.create_task(function() return other:read("a") end)
    async.sleep(0)
    reader:cancel()
    async.wait({ reader })
    assert(path)
  end)]]

sources["fs: directories"] = files .. [[
  in_directory(function(dir)
    local sub = fs.mkdtemp(dir .. "/d")
    for _, name in ipairs({ "a", "b", "c" }) do fs.write_file(sub .. "/" .. name, name) end
    assert(#fs.listdir(sub) == 3)
    for name, type in fs.scandir(sub) do assert(name and type == "file") end
    for path, dirs, names in fs.walk(dir, { bottom_up = true, follow = true }) do assert(path and dirs and names) end
    fs.glob(dir .. "/**/[ab]")
    local removal = async.create_task(function() fs.rmtree(sub) end)
    async.sleep(0)
    removal:cancel()
    async.wait({ removal })
    fs.mkdir(dir .. "/x/y", { parents = true })
    fs.write_file(dir .. "/x/y/z", "")
    fs.rmtree(dir .. "/x")
  end)]]

sources["fs: watching"] = files .. [[
  in_directory(function(dir)
    local watch <close> = fs.watch(dir, { limit = 2 })
    fs.write_file(dir .. "/a", "x")
    assert(watch:next() and tostring(watch))
    fs.write_file(dir .. "/b", "x")
    for kind in watch do
      if kind then break end
    end
    local reader = async.create_task(function()
      repeat until not watch:next()
    end)
    async.sleep(0)
    watch:close()
    assert(watch:is_closing())
    async.await(reader)
  end)]]

-- By default SIGWINCH does nothing: where watching has failed, the program goes on.
sources["signals: waiting, listening, a handler"] = [[
  run(function()
    local event = async.Event()
    local handler <close> = signal.handle("SIGWINCH", function() event:set() end)
    local listener <close> = signal.listen("SIGWINCH", "SIGURG")
    local waiting = async.create_task(function() return signal.wait("SIGWINCH", "SIGURG") end)
    local cancelled = async.create_task(function() signal.wait("SIGWINCH") end)
    async.sleep(0)
    cancelled:cancel()
    os.execute("kill -WINCH $PPID")
    pcall(async.timeout, 5, event.wait, event)
    async.timeout(5, listener)
    listener:close()
    handler:close()
    waiting:cancel()
    pcall(async.await, waiting)
    pcall(signal.wait, "SIGKILL")
  end)]]

-- The children end by themselves when this program has gone.
sources["processes: run to their end, checked, cancelled, killed, dropped"] = [[
  run(function()
    process.run({ "cat" }, { input = "x", env = { A = "b" }, cwd = "/", timeout = 10, check = true })
    pcall(process.shell, "echo out; echo err >&2; exit 1", { check = true, stderr = "stdout" })
    pcall(process.spawn, { "no-such-program" }, { cwd = "/" })
    pcall(process.spawn, { "true" }, { cwd = "/no/such" })
    local task = async.create_task(function() process.run({ "cat" }, { stdin = "pipe" }) end)
    async.sleep(0)
    task:cancel()
    pcall(async.await, task)
    local child <close> = process.spawn({ "cat" }, { group = true, stdout = "null", stderr = "null" })
    child:terminate()
    child:kill("SIGKILL")
    child:wait()
    tostring(child)
    local other <close> = process.spawn({ "cat" })
    other.stdin:write("line\n")
    other.stdout:read_line()
    process.spawn({ "cat" })
    process.spawn({ "true" }, { detached = true }):wait()
  end)]]

-- What stdin and stdout are is up to whoever runs it; stdin ends at once.
sources["tty: the standard streams"] = [[
  run(function()
    local stdin = tty.stdin()
    local reader = async.create_task(function() return stdin:read() end)
    async.sleep(0)
    reader:cancel()
    pcall(async.await, reader)
    pcall(stdin.write, stdin, "x")
    stdin:read_all()
    stdin:close()
    tty.stdin():read_line()
    tty.stdout():write("")
    tty.stdout():flush()
    tostring(tty.stderr())
    pcall(tty.stderr().read, tty.stderr())
    pcall(tty.winsize)
    pcall(tty.set_mode, "raw")
  end)]]
sources["testing"] = [[
  local stderr = io.stderr
  local _ <close> = setmetatable({}, { __close = function() io.stderr = stderr end })
  io.stderr = { write = function() end } -- where the seed of a run that fails goes
  testing.run(function()
    local order, future = testing.sequencer(), async.Future()
    local task = async.create_task(function()
      do local _ <close> = order(1) end
      return async.sleep(10, future:set_result(7))
    end)
    testing.wait_all_blocked()
    do local _ <close> = order(2) end
    testing.advance(5)
    async.call_later(1, print):cancel()
    return async.gather(task, future)
  end, { seed = 1, timeout = 20 })
  testing.cancel_at_every_wait(function() async.sleep(1) end, { leaks = false })
  pcall(testing.run, async.sleep, { fail = { allocation = 3 }, leaks = false })
  local kept
  local _, err = pcall(testing.run, function() kept = async.Future() end)
  assert(async.errors.is(err, testing.LeakError) or type(err) == "string")]]

--- Names of the programs, sorted.
function programs.names()
  local names = {}
  for name in pairs(sources) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- Removes what they left. To be called by whoever has run some: they do not, since some are ended in the middle.
function programs.clean()
  os.execute(("rm -rf '%s'*"):format(scratch))
end

--- All of them as one text.
function programs.text()
  local texts = {}
  for i, name in ipairs(programs.names()) do texts[i] = sources[name] end
  return table.concat(texts, "\n")
end

return programs
