-- cqueues: its controller, conditions, promises and sockets. The library has no queue, semaphore or
-- event: these are composed from its condition variables.
-- usage: cqueues.lua WORKLOAD [PORT], see measure.lua
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local promise = require "cqueues.promise"
local measure = require "bench.measure"

local clock, sleep = cqueues.monotime, cqueues.sleep
local controller = cqueues.new()
local W = {}

-- runs fn(1) to fn(n) in a coroutine each and waits for all
local function run_all(n, fn)
  local left, done = n, condition.new()
  for i = 1, n do
    controller:wrap(function()
      fn(i)
      left = left - 1
      if left == 0 then done:signal() end
    end)
  end
  while left > 0 do done:wait() end
end

function W.spawn() -- a task that has a result is a promise
  local n, promises, results = measure.SPAWNED, {}, {}
  local function job(i) return i end
  local stop = measure.start(clock)
  for i = 1, n do promises[i] = promise.new(job, i) end
  for i = 1, n do results[i] = promises[i]:get() end
  stop(n)
  measure.check_results(results, n)
end

function W.switch()
  local n, rounds = measure.SWITCHERS, measure.SWITCHES
  local stop = measure.start(clock)
  run_all(n, function() for _ = 1, rounds do sleep(0) end end)
  stop(n * rounds)
end

function W.timers()
  local n, next_delay = measure.SLEEPERS, measure.delays()
  local sampled, errors = measure.sampled(sleep, clock)
  local stop = measure.start(clock)
  run_all(n, function() sampled(next_delay()) end)
  stop(n, errors())
end

function W.idle()
  local n, parked = measure.SLEEPERS, 0
  local bytes_per_task, stop = measure.memory(), measure.start(clock)
  for _ = 1, n do
    controller:wrap(function()
      parked = parked + 1
      sleep(3600)
    end)
  end
  while parked < n do sleep(0) end
  stop(n, { bytes_per_task = bytes_per_task(n) })
  os.exit(0, false)
end

function W.queue()
  local n, size, sum = measure.ITEMS, measure.QUEUE_SIZE, 0
  local has_room, has_items = condition.new(), condition.new()
  local items, head, tail = {}, 1, 0
  local function put(value)
    while tail - head + 1 >= size do has_room:wait() end
    tail = tail + 1
    items[tail] = value
    has_items:signal(1)
  end
  local function get()
    while head > tail do has_items:wait() end
    local value = items[head]
    items[head] = nil
    head = head + 1
    has_room:signal(1)
    return value
  end
  local sides = {
    function() for i = 1, n do put(i) end end,
    function() for _ = 1, n do sum = sum + get() end end,
  }
  local stop = measure.start(clock)
  run_all(2, function(i) sides[i]() end)
  stop(n)
  assert(sum == n * (n + 1) // 2, "wrong sum")
end

function W.semaphore()
  local n, rounds, permits, freed = measure.HOLDERS, measure.HOLDS, measure.PERMITS, condition.new()
  local function acquire()
    while permits == 0 do freed:wait() end
    permits = permits - 1
  end
  local function release()
    permits = permits + 1
    freed:signal(1)
  end
  local enter, leave, check = measure.census()
  local stop = measure.start(clock)
  run_all(n, function()
    for _ = 1, rounds do
      acquire()
      sleep(0)
      release()
    end
  end)
  stop(n * rounds)
  run_all(n, function()
    acquire()
    enter()
    sleep(0)
    leave()
    release()
  end)
  check()
end

function W.event()
  local n, changed, is_set, waiting, woken = measure.WAITERS, condition.new(), false, 0, 0
  local stop = measure.start(clock)
  controller:wrap(function()
    while waiting < n do sleep(0) end
    is_set = true
    changed:signal()
  end)
  run_all(n, function()
    waiting = waiting + 1
    while not is_set do changed:wait() end
    woken = woken + 1
  end)
  stop(n)
  assert(woken == n, "not all were woken")
end

local function serve(handler)
  local socket = require "cqueues.socket"
  local listener = socket.listen { host = "127.0.0.1", port = tonumber(arg[2]), nodelay = true }
  for connection in listener:clients() do
    controller:wrap(function()
      connection:setmode("b", "bn") -- binary, no output buffer
      connection:onerror(function(_, _, code) return code end)
      handler(connection)
      connection:close()
    end)
  end
end

function W.echo()
  serve(function(connection)
    while true do
      local data = connection:xread(-4096)
      if not data or not connection:xwrite(data) then return end
    end
  end)
end

function W.bulk()
  serve(function(connection)
    connection:setbufsiz(65536, nil)
    while connection:xread(-65536) do end
  end)
end

measure.main(W, function(workload)
  controller:wrap(workload)
  assert(controller:loop())
end)
