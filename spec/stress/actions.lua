--- What the tasks of a random program do: see stress.lua. `env` is what they share; env.rng(n) draws from 1 to n, for
-- whoever is running a copy of its own.
local async = require "luawait"
local net = require "luawait.net"
local std = require "luawait.std"
local files = require "spec.stress.files"
local processes = require "spec.stress.processes"

local actions = {}

--- The modules whose every function is in here; spec/stress/stress_spec.lua sees to that.
actions.modules = {
  "luawait", "luawait.std", "luawait.net", "luawait.fs", "luawait.process", "luawait.signal", "luawait.tty",
}

--- The error that the programs raise.
actions.MARK = "raised by the program"

--- Names of the errors that the library may raise in them.
actions.expected = {}
for name in ([[CancelledError TimeoutError InvalidStateError QueueEmpty QueueFull QueueShutDown BrokenBarrierError
  OSError ProcessError IncompleteReadError LimitOverrunError RuntimeError ValueError ExceptionGroup]]):gmatch("%S+") do
  actions.expected[name] = true
end

--- A generator of numbers from 1 to n (xorshift).
function actions.generator(seed)
  local state = seed * 0x9E3779B97F4A7C15 | 1
  return function(n)
    state = state ~ state << 13
    state = state ~ state >> 7
    state = state ~ state << 17
    return (state >> 33) % n + 1
  end
end

--- The same program for a task of its own, with the next numbers of its parent's generator as seed.
local function fork(env)
  return setmetatable({ rng = actions.generator(env.rng(1 << 30)) }, {
    __index = env,
    __newindex = function(_, key, value) env[key] = value end,
  })
end

local function pick(env, list) return list[env.rng(#list)] end

local function watch(env, object)
  env.kept[object] = true
  return object
end

local function some_seconds(env) return pick(env, { 0, 0, 0.0001, 0.001, 0.003 }) end

-- ---- tasks and awaitables ----

local body

local function child(env)
  local forked = fork(env)
  return function() return body(forked) end
end

function actions.spawn(env)
  local task = watch(env, async.create_task(child(env), env.rng(5) == 1 and { name = "named" } or nil))
  env.tasks[env.rng(8)] = task
  return task
end

local function awaitable(env)
  local kind = env.rng(5)
  if kind == 1 then return actions.spawn(env) end
  if kind == 2 then return watch(env, async(child(env))()) end
  if kind == 3 then return pick(env, env.futures) end
  if kind == 4 then return child(env) end
  return setmetatable({}, { __await = child(env) })
end

local function awaitables(env)
  local list = {}
  for i = 1, env.rng(4) do list[i] = awaitable(env) end
  return list
end

--- A wait that may last for ever is left to a deadline, or to the end of the program.
local function bounded(env, fn, ...)
  if env.rng(3) == 1 then return fn(...) end
  return async.timeout(some_seconds(env), fn, ...)
end

local steps = {}

local function step(fn) steps[#steps + 1] = fn end

step(function(env) async.sleep(some_seconds(env)) end)
step(function(env) actions.spawn(env) end)
step(function(env) bounded(env, async.await, awaitable(env)) end)
step(function(env) bounded(env, async.gather, table.unpack(awaitables(env))) end)
step(function(env) bounded(env, async.gather, awaitables(env), { return_exceptions = env.rng(2) == 1 }) end)
step(function(env) async.wait_for(awaitable(env), some_seconds(env)) end)
step(function(env) bounded(env, async.shield, awaitable(env)) end)
step(function(env)
  async.wait(awaitables(env), { timeout = some_seconds(env),
    return_when = pick(env, { async.ALL_COMPLETED, async.FIRST_COMPLETED, async.FIRST_EXCEPTION }) })
end)
step(function(env)
  for task in async.as_completed(awaitables(env), { timeout = some_seconds(env) }) do
    if env.rng(3) == 1 then break end
    task:exception()
  end
end)
step(function(env)
  async.task_group(function(tg)
    for _ = 1, env.rng(3) do watch(env, tg:create_task(child(env))) end
    if env.rng(4) == 1 then tg:cancel() end
    body(env)
  end)
end)
step(function(env)
  local tg <close> = async.TaskGroup()
  watch(env, tg:create_task(child(env)))
  if env.rng(2) == 1 then error(actions.MARK, 0) end
end)
step(function(env)
  local scope <close> = watch(env, async.timeout(some_seconds(env)))
  if env.rng(2) == 1 and not scope:expired() then scope:reschedule(scope:when() + some_seconds(env)) end
  async.sleep(some_seconds(env))
end)
step(function(env) async.timeout_at(async.time() + some_seconds(env), body, env) end)

-- ---- cancelling, failing, looking ----

step(function(env)
  local task = env.tasks[env.rng(8)]
  if task then task:cancel(env.rng(2) == 1 and "why" or nil) end
end)
step(function(env)
  async.current_task():cancel()
  if env.rng(2) == 1 then async.current_task():uncancel() end
end)
step(function() error(actions.MARK, 0) end)
step(function() error(async.ValueError("by the program")) end)
step(function(env)
  local task = env.tasks[env.rng(8)]
  if not task then return end
  local _ = tostring(task) .. task:state() .. task:get_stack() .. tostring(task:waiting_on()) .. task:cancelling()
  task:set_name(task:get_name():sub(1, 20) .. "'")
  if task:done() and not task:cancelled() and task:exception() == nil then task:result() end
end)
step(function(env)
  for _, primitive in pairs(env.primitives) do tostring(primitive) primitive:statistics() end
  local p = env.primitives
  assert(p.barrier:n_waiting() <= p.barrier:parties() or p.barrier:broken())
  assert(p.queue:qsize() <= p.queue:maxsize() and p.queue:empty() == (p.queue:qsize() == 0) and not p.stack:full())
  assert(p.event:is_set() == p.event:statistics().is_set)
  async.all_tasks()
end)
step(function(env)
  if env.rng(8) == 1 then collectgarbage() else collectgarbage("step") end
end)
step(function(env)
  local results = async.gather({ child(env), child(env) }, { return_exceptions = true })
  for i = 1, results.n do
    if async.is_failure(results[i]) then error(results[i].error, 0) end
  end
end)
step(function() async.Runner({ debug = true }):run(print) end) -- refused: there is a loop
step(function(env) -- dropped: never awaited, never retrieved, never closed
  watch(env, async(child(env))())
  async.timeout(3600)
  async.as_completed({ child(env) })
end)
step(function(env)
  local clean <close> = setmetatable({}, { __close = function() async.sleep(some_seconds(env)) end }) -- luacheck: ignore
  async.sleep(some_seconds(env))
end)

-- ---- futures and callbacks ----

step(function(env)
  local fut = watch(env, async.Future())
  fut:add_done_callback(function() env.called = true end)
  fut:add_done_callback(print)
  fut:remove_done_callback(print)
  env.futures[env.rng(4)] = fut
end)
step(function(env)
  local fut, how = pick(env, env.futures), env.rng(3)
  if how == 1 then fut:cancel() elseif how == 2 then fut:set_result(1, nil, 2) else fut:set_exception(actions.MARK) end
end)
step(function(env) bounded(env, async.await, pick(env, env.futures)) end)
step(function(env)
  bounded(env, async.from_callback, function(callback)
    env.callback = env.rng(3) > 1 and async.call_later(some_seconds(env), callback) or nil
  end)
end)
step(function(env)
  local forked = fork(env)
  local function callback()
    if forked.over then return end
    if forked.rng(4) == 1 then error(actions.MARK, 0) end
    if forked.rng(4) == 1 then actions.spawn(forked) end
    forked.primitives.event:set()
  end
  local how = env.rng(3)
  local handle = watch(env, how == 1 and async.call_soon(callback)
    or how == 2 and async.call_later(some_seconds(env), callback)
    or async.call_at(async.time() + some_seconds(env), callback))
  if env.rng(3) == 1 then handle:cancel() end
end)

-- ---- primitives ----

function actions.open(env)
  env.primitives = {
    lock = async.Lock(), semaphore = async.Semaphore(2), bounded = async.BoundedSemaphore(1), event = async.Event(),
    condition = async.Condition(), barrier = async.Barrier(3), queue = async.Queue(2), sorted = async.PriorityQueue(3),
    stack = async.LifoQueue(),
  }
  for i = 1, 4 do env.futures[i] = watch(env, async.Future()) end
end

step(function(env)
  local p = pick(env, { env.primitives.lock, env.primitives.semaphore })
  p:with(async.sleep, some_seconds(env))
end)
step(function(env)
  local p = pick(env, { env.primitives.lock, env.primitives.semaphore, env.primitives.bounded,
    env.primitives.condition })
  local held <close> = bounded(env, p.acquire, p) -- luacheck: ignore
  if env.rng(2) == 1 then body(env) end
end)
step(function(env)
  local p = pick(env, { env.primitives.lock, env.primitives.semaphore, env.primitives.bounded,
    env.primitives.condition })
  p:acquire()
  pcall(async.sleep, some_seconds(env))
  p:release()
end)
step(function(env)
  local event, how = env.primitives.event, env.rng(3)
  if how == 1 then event:set() elseif how == 2 then event:clear() else bounded(env, event.wait, event) end
end)
step(function(env)
  local condition, how = env.primitives.condition, env.rng(3)
  condition:with(function()
    if how == 1 then condition:notify(env.rng(2))
    elseif how == 2 then condition:notify_all()
    else bounded(env, condition.wait, condition) end
  end)
end)
step(function(env)
  local barrier, how = env.primitives.barrier, env.rng(8)
  if how == 1 then barrier:reset() elseif how == 2 then barrier:abort() else bounded(env, barrier.wait, barrier) end
end)
local function queue_of(env)
  return pick(env, { env.primitives.queue, env.primitives.sorted, env.primitives.stack })
end
step(function(env)
  local queue = queue_of(env)
  bounded(env, queue.put, queue, env.rng(100))
end)
step(function(env)
  local queue = queue_of(env)
  bounded(env, queue.get, queue)
  queue:task_done()
end)
step(function(env)
  local queue, how = queue_of(env), env.rng(8)
  if how == 1 then bounded(env, queue.join, queue)
  elseif how <= 4 then queue:put_nowait(env.rng(100))
  elseif how == 5 then bounded(env, function() for item in queue:iter() do if item > 50 then break end end end)
  else queue:get_nowait() end
end)

-- ---- the standard library ----

step(function(env)
  std.sort({ 3, 1, 2 }, function(a, b) return async.sleep(0, a < b) end)
  std.gsub("ab", "%w", function(c) return async.sleep(0, c) end)
  std.pcall(async.sleep, some_seconds(env))
  std.xpcall(error, debug.traceback, actions.MARK)
end)
step(function(env)
  local pieces = { "return ", "1" }
  std.load(function() return async.sleep(some_seconds(env), table.remove(pieces, 1)) end)
  std.tostring(setmetatable({}, { __tostring = function() return async.sleep(some_seconds(env), "x") end }))
  std.require("luawait.net")
end)
step(function(env)
  local co = std.coroutine.wrap(function()
    async.sleep(some_seconds(env))
    std.coroutine.yield(1)
    body(env)
  end)
  co()
  if env.rng(2) == 1 then co() end
end)
step(function(env)
  local co = std.coroutine.create(function() -- holds nothing that an error would leave for close()
    async.sleep(some_seconds(env))
    return std.coroutine.running(), std.coroutine.isyieldable()
  end)
  std.coroutine.resume(co)
  assert(std.coroutine.status(co) == "dead")
  std.coroutine.close(co)
end)

-- ---- streams ----

local function converse(env, stream)
  for _ = 1, env.rng(5) do
    local how = env.rng(9)
    if how == 1 then stream:write("line\n", ("x"):rep(env.rng(200)), "\r\n")
    elseif how == 2 then stream:write(("y"):rep(env.rng(1 << 18)))
    elseif how == 3 then bounded(env, stream.read, stream, env.rng(1000))
    elseif how == 4 then bounded(env, stream.read_line, stream, env.rng(1000))
    elseif how == 5 then bounded(env, stream.read_exactly, stream, env.rng(1 << 17))
    elseif how == 6 then bounded(env, stream.read_until, stream, "\r\n")
    elseif how == 7 then bounded(env, stream.flush, stream)
    elseif how == 8 then stream:shutdown()
    else
      stream:statistics()
      tostring(stream)
      pcall(stream.set_nodelay, stream, env.rng(2) == 1) -- refused by a Unix socket
      pcall(stream.set_keepalive, stream, env.rng(2) == 1, 60)
      stream:peername()
      stream:sockname()
      assert(not stream:is_closing())
      bounded(env, function() for line in stream:lines() do if #line > 2 then break end end end)
      async.create_task(function() bounded(env, stream.read_all, stream, 1 << 19) end)
    end
  end
end

--- The handler of a connection.
function actions.handle(env, stream)
  converse(fork(env), watch(env, stream))
end

step(function(env)
  if env.rng(4) == 1 then
    converse(env, watch(env, net.connect("127.0.0.1", env.port))) -- and drops it
    return
  end
  local stream <close> = watch(env, net.connect("127.0.0.1", env.port, { timeout = some_seconds(env) + 0.001 }))
  converse(env, stream)
  if env.rng(3) == 1 then stream:close() end
end)
step(function(env)
  local server <close> = net.serve("127.0.0.1", 0, function(stream) converse(fork(env), stream) end)
  async.create_task(function() bounded(env, server.serve_forever, server) end)
  local stream <close> = net.connect(server:address())
  converse(env, stream)
  if env.rng(2) == 1 then server:close() else server:shutdown(some_seconds(env)) end
  assert(server:is_closing() and server:statistics())
end)
step(function(env)
  local path = os.tmpname() .. ".sock"
  local server <close> = net.serve_unix(path, function(stream) converse(fork(env), stream) end)
  os.remove((path:gsub("%.sock$", "")))
  local stream <close> = net.connect_unix(path, { timeout = 1 })
  converse(env, stream)
  if env.rng(2) == 1 then server:close() end
end)
step(function(env)
  local socket <close> = watch(env, net.udp { host = "127.0.0.1", broadcast = env.rng(2) == 1 })
  local host, port = socket:sockname()
  local other <close> = watch(env, net.udp { remote_host = host, remote_port = port, max_size = 100 })
  other:send(("x"):rep(env.rng(200)))
  bounded(env, socket.recv, socket)
  socket:send("y", other:sockname())
  bounded(env, other.recv, other)
  socket:set_broadcast(true)
  socket:set_ttl(2)
  for name, value in pairs({ set_multicast_ttl = 2, set_multicast_loop = true, set_multicast_interface = "127.0.0.1",
    join = "239.255.0.1", leave = "239.255.0.1" }) do
    pcall(socket[name], socket, value) -- not everywhere is there an interface for it
  end
  assert(other:peername() == host and socket:statistics().receivers == 0)
end)
step(function(env)
  local host = pick(env, { "127.0.0.1", "::1", "localhost" })
  bounded(env, env.rng(2) == 1 and net.resolve or net.reverse, host ~= "localhost" and host or "127.0.0.1")
end)

for _, more in ipairs { files, processes } do
  more.add_steps(step, { bounded = bounded, pick = pick, watch = watch })
end

-- ---- a task ----

--- Does some steps. What they raise is passed on, or swallowed, a cancellation too.
body = function(env)
  for _ = 1, env.rng(4) do
    if env.over or env.budget <= 0 then return end
    env.budget = env.budget - 1
    local how = env.rng(4)
    if how == 1 then pick(env, steps)(env)
    elseif how == 2 then async.pcall(pick(env, steps), env)
    else pcall(pick(env, steps), env) end
  end
  return env.rng(10), nil
end

return actions
