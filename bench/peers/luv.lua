-- luv under a thin coroutine wrapper: what a Lua programmer writes on libuv by hand.
-- usage: luv.lua WORKLOAD [PORT], see measure.lua
local uv = require "luv"
local measure = require "bench.measure"

local running, yield, create = coroutine.running, coroutine.yield, coroutine.create

-- ---- the wrapper: tasks start at once, as coroutine.wrap(fn)() does ----

local function resume(co, ...)
  local ok, err = coroutine.resume(co, ...)
  if not ok then error(debug.traceback(co, tostring(err)), 0) end
end

local function spawn(fn, ...) resume(create(fn), ...) end

-- ready coroutines, drained in batches by an idle handle
local ready, first, last, idle = {}, 1, 0, uv.new_idle()

local function drain()
  local batch_end = last
  while first <= batch_end do
    local co = ready[first]
    ready[first] = nil
    first = first + 1
    resume(co)
  end
  if first > last then idle:stop() end
end

local function schedule(co)
  if first > last then idle:start(drain) end
  last = last + 1
  ready[last] = co
end

local function pause()
  schedule(running())
  yield()
end

local function sleep(seconds)
  local co, timer = running(), uv.new_timer()
  timer:start(math.floor(seconds * 1000), 0, function()
    timer:close()
    resume(co)
  end)
  yield()
end

local function gather(n, fn)
  local results, left, me, waits = {}, n, running(), false
  local function body(i)
    results[i] = fn(i)
    left = left - 1
    if left == 0 and waits then schedule(me) end
  end
  for i = 1, n do spawn(body, i) end
  if left > 0 then
    waits = true
    yield()
  end
  return results
end

local function new_queue(size)
  local items, head, tail, putter, getter = {}, 1, 0, nil, nil
  local queue = {}
  function queue.put(value)
    while tail - head + 1 >= size do
      putter = running()
      yield()
    end
    tail = tail + 1
    items[tail] = value
    if getter then
      schedule(getter)
      getter = nil
    end
  end
  function queue.get()
    while head > tail do
      getter = running()
      yield()
    end
    local value = items[head]
    items[head] = nil
    head = head + 1
    if putter then
      schedule(putter)
      putter = nil
    end
    return value
  end
  return queue
end

local function new_semaphore(permits)
  local waiters, head, tail = {}, 1, 0
  local semaphore = {}
  function semaphore.acquire()
    if permits > 0 then
      permits = permits - 1
      return
    end
    tail = tail + 1
    waiters[tail] = running()
    yield()
  end
  function semaphore.release()
    if head > tail then
      permits = permits + 1
      return
    end
    schedule(waiters[head])
    waiters[head] = nil
    head = head + 1
  end
  return semaphore
end

local function new_event()
  local waiters, is_set = {}, false
  local event = {}
  function event.wait()
    if is_set then return end
    waiters[#waiters + 1] = running()
    yield()
  end
  function event.set()
    is_set = true
    for _, co in ipairs(waiters) do schedule(co) end
    waiters = {}
  end
  return event
end

-- a connection as two functions that wait
local function wrap(socket)
  local chunks, head, tail, reader = {}, 1, 0, nil
  socket:read_start(function(_, chunk)
    if reader then
      local co = reader
      reader = nil
      resume(co, chunk)
    else
      tail = tail + 1
      chunks[tail] = chunk or false
    end
  end)
  local function read()
    if head > tail then
      reader = running()
      return yield()
    end
    local chunk = chunks[head]
    chunks[head] = nil
    head = head + 1
    return chunk or nil
  end
  local function write(data)
    local co = running()
    socket:write(data, function(err) resume(co, err) end)
    return yield()
  end
  return read, write
end

local function serve(handler)
  local listener = uv.new_tcp()
  assert(listener:bind("127.0.0.1", tonumber(arg[2])))
  assert(listener:listen(1024, function(err)
    assert(not err, err)
    local socket = uv.new_tcp()
    listener:accept(socket)
    socket:nodelay(true)
    spawn(function()
      handler(wrap(socket))
      socket:close()
    end)
  end))
end

-- ---- the workloads ----

local function clock() return uv.hrtime() / 1e9 end

local W = {}

function W.spawn()
  local n = measure.SPAWNED
  local stop = measure.start(clock)
  local results = gather(n, function(i) return i end)
  stop(n)
  measure.check_results(results, n)
end

function W.switch()
  local n, rounds = measure.SWITCHERS, measure.SWITCHES
  local stop = measure.start(clock)
  gather(n, function() for _ = 1, rounds do pause() end end)
  stop(n * rounds)
end

function W.timers()
  local n, next_delay = measure.SLEEPERS, measure.delays()
  local sampled, errors = measure.sampled(sleep, clock)
  local stop = measure.start(clock)
  uv.update_time()
  gather(n, function() sampled(next_delay()) end)
  stop(n, errors())
end

function W.idle()
  local n = measure.SLEEPERS
  local bytes_per_task, stop = measure.memory(), measure.start(clock)
  for _ = 1, n do spawn(sleep, 3600) end
  stop(n, { bytes_per_task = bytes_per_task(n) })
  os.exit(0, false)
end

function W.queue()
  local n, queue, sum = measure.ITEMS, new_queue(measure.QUEUE_SIZE), 0
  local sides = {
    function() for i = 1, n do queue.put(i) end end,
    function() for _ = 1, n do sum = sum + queue.get() end end,
  }
  local stop = measure.start(clock)
  gather(2, function(i) sides[i]() end)
  stop(n)
  assert(sum == n * (n + 1) // 2, "wrong sum")
end

function W.semaphore()
  local n, rounds, semaphore = measure.HOLDERS, measure.HOLDS, new_semaphore(measure.PERMITS)
  local enter, leave, check = measure.census()
  local stop = measure.start(clock)
  gather(n, function()
    for _ = 1, rounds do
      semaphore.acquire()
      pause()
      semaphore.release()
    end
  end)
  stop(n * rounds)
  gather(n, function()
    semaphore.acquire()
    enter()
    pause()
    leave()
    semaphore.release()
  end)
  check()
end

function W.event()
  local n, event = measure.WAITERS, new_event()
  local stop = measure.start(clock)
  spawn(function()
    pause()
    event.set()
  end)
  local results = gather(n, function(i)
    event.wait()
    return i
  end)
  stop(n)
  measure.check_results(results, n)
end

function W.echo()
  serve(function(read, write)
    while true do
      local data = read()
      if not data then return end
      write(data)
    end
  end)
end

function W.bulk()
  serve(function(read) while read() do end end)
end

measure.main(W, spawn)
uv.run()
