-- The workloads in luawait's own idiom. usage: luawait.lua WORKLOAD [PORT], see measure.lua
local async = require "luawait"
local measure = require "bench.measure"

local clock, sleep = async.time, async.sleep
local W = {}

local function create_tasks(n, fn)
  local tasks = {}
  for i = 1, n do tasks[i] = async.create_task(fn) end
  return tasks
end

function W.spawn()
  local n, job, jobs = measure.SPAWNED, async(function(i) return i end), {}
  local stop = measure.start(clock)
  for i = 1, n do jobs[i] = job(i) end
  local results = async.gather(jobs)
  stop(n)
  measure.check_results(results, n)
end

function W.switch()
  local n, rounds = measure.SWITCHERS, measure.SWITCHES
  local stop = measure.start(clock)
  async.gather(create_tasks(n, function() for _ = 1, rounds do sleep(0) end end))
  stop(n * rounds)
end

function W.timers()
  local n, next_delay = measure.SLEEPERS, measure.delays()
  local sampled, errors = measure.sampled(sleep, clock)
  local stop = measure.start(clock)
  async.gather(create_tasks(n, function() sampled(next_delay()) end))
  stop(n, errors())
end

function W.idle() -- the tasks are kept by the loop alone, as the floor's are by its anchors
  local n, parked = measure.SLEEPERS, 0
  local bytes_per_task, stop = measure.memory(), measure.start(clock)
  local function park()
    parked = parked + 1
    sleep(3600)
  end
  for _ = 1, n do async.create_task(park) end
  while parked < n do sleep(0) end
  stop(n, { bytes_per_task = bytes_per_task(n) })
  os.exit(0, false)
end

if async.Queue then
  function W.queue()
    local n, queue, sum = measure.ITEMS, async.Queue(measure.QUEUE_SIZE), 0
    local stop = measure.start(clock)
    async.gather(
      function() for i = 1, n do queue:put(i) end end,
      function() for _ = 1, n do sum = sum + queue:get() end end
    )
    stop(n)
    assert(sum == n * (n + 1) // 2, "wrong sum")
  end
end

function W.semaphore()
  local n, rounds, semaphore = measure.HOLDERS, measure.HOLDS, async.Semaphore(measure.PERMITS)
  local function hold()
    for _ = 1, rounds do
      semaphore:acquire()
      sleep(0)
      semaphore:release()
    end
  end
  local enter, leave, check = measure.census()
  local function hold_counted()
    semaphore:acquire()
    enter()
    sleep(0)
    leave()
    semaphore:release()
  end
  local stop = measure.start(clock)
  async.gather(create_tasks(n, hold))
  stop(n * rounds)
  async.gather(create_tasks(n, hold_counted))
  check()
end

function W.event()
  local n, event, woken = measure.WAITERS, async.Event(), 0
  local stop = measure.start(clock)
  local tasks = create_tasks(n, function()
    event:wait()
    woken = woken + 1
  end)
  sleep(0)
  event:set()
  async.gather(tasks)
  stop(n)
  assert(woken == n, "not all were woken")
end

local function serve(handler)
  local net = require "luawait.net"
  net.serve("127.0.0.1", tonumber(arg[2]), handler, { backlog = 1024 }):serve_forever()
end

function W.echo()
  serve(function(stream)
    stream:set_nodelay(true)
    while true do
      local data = stream:read()
      if not data then return end
      stream:write(data)
    end
  end)
end

function W.bulk()
  serve(function(stream) while stream:read() do end end)
end

measure.main(W, async.run)
