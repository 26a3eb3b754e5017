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

function W.lock()
  local n, rounds, lock, inside = measure.HOLDERS, measure.HOLDS, async.Lock(), 0
  local function hold()
    for _ = 1, rounds do
      lock:acquire()
      sleep(0)
      lock:release()
    end
  end
  local function hold_counted()
    lock:acquire()
    inside = inside + 1
    sleep(0)
    assert(inside == 1, "more than one holds the lock")
    inside = 0
    lock:release()
  end
  local stop = measure.start(clock)
  async.gather(create_tasks(n, hold))
  stop(n * rounds)
  async.gather(create_tasks(n, hold_counted))
end

function W.condition() -- each notifies the next
  local n, turns, condition, taken = measure.HOLDERS, measure.TURNS, async.Condition(), 0
  local function take_turns()
    condition:acquire()
    for _ = 1, turns do
      condition:wait()
      condition:notify()
    end
    taken = taken + turns
    condition:release()
  end
  local stop = measure.start(clock)
  local tasks = create_tasks(n, take_turns)
  sleep(0)
  condition:with(function() condition:notify() end)
  async.gather(tasks)
  stop(n * turns)
  assert(taken == n * turns, "not all had their turns")
end

function W.barrier()
  local n, rounds, barrier, sum = measure.PARTIES, measure.ROUNDS, async.Barrier(measure.PARTIES), 0
  local stop = measure.start(clock)
  local function meet()
    for _ = 1, rounds do
      local place = barrier:wait() -- before the sum is read: others add to it meanwhile
      sum = sum + place
    end
  end
  async.gather(create_tasks(n, meet))
  stop(n * rounds)
  assert(sum == rounds * n * (n + 1) // 2, "wrong numbers")
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

function W.files()
  local fs = require "luawait.fs"
  local n, sum, jobs = measure.FILES, 0, {}
  local folder, remove = measure.files()
  local stop = measure.start(clock)
  for i = 1, n do
    jobs[i] = async.create_task(function()
      local size = #fs.read_file(("%s/%d"):format(folder, i))
      sum = sum + size
    end)
  end
  async.gather(jobs)
  stop(n)
  remove()
  assert(sum == n * measure.FILE_SIZE, "wrong files")
end

function W.processes()
  local process = require "luawait.process"
  local n, slots, good = measure.PROCESSES, async.Semaphore(measure.PROCESSES_AT_ONCE), 0
  local stop = measure.start(clock)
  async.gather(create_tasks(n, function()
    local slot <close> = slots:acquire()
    local result = process.run({ "true" })
    if result.status == 0 and result.stdout == "" and result.stderr == "" then good = good + 1 end
    return slot
  end))
  stop(n)
  assert(good == n, "not all have ended well")
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
