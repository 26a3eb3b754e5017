--- What the benchmark scripts in Lua share: sizes of the workloads, measuring, checking.
-- Each script is called with a workload (and a port, to serve echo or bulk on 127.0.0.1 until it is
-- killed) and prints one JSON line, or `{"skip":true}` for a workload that it does not have.
local measure = {
  SPAWNED = 200000,
  SWITCHERS = 1000,
  SWITCHES = 1000,
  SLEEPERS = 100000,
  ITEMS = 1000000,
  QUEUE_SIZE = 128,
  HOLDERS = 1000,
  HOLDS = 100,
  PERMITS = 10,
  TURNS = 100,
  PARTIES = 100,
  ROUNDS = 1000,
  WAITERS = 100000,
  FILES = 10000,
  FILE_SIZE = 1000,
  PROCESSES = 500,
  PROCESSES_AT_ONCE = 50,
}

local SAMPLE_EVERY = 1000

local function status_kb(key)
  for line in io.lines "/proc/self/status" do
    local kb = line:match("^" .. key .. ":%s*(%d+)")
    if kb then return tonumber(kb) end
  end
  error("no " .. key .. " in /proc/self/status")
end

--- Starts measuring.
-- @param clock the competitor's own monotonic clock, a function that returns seconds
-- @return a function `stop(ops, more)` that prints the result: `more` are further numbers by name
function measure.start(clock)
  local wall, cpu = clock(), os.clock()
  return function(ops, more)
    wall, cpu = clock() - wall, os.clock() - cpu
    local members = {
      ('"ops":%d,"seconds":%.6f,"cpu_s":%.6f,"peak_kb":%d'):format(ops, wall, cpu, status_kb "VmHWM"),
    }
    for name, value in pairs(more or {}) do members[#members + 1] = ('"%s":%.3f'):format(name, value) end
    print("{" .. table.concat(members, ",") .. "}")
    io.stdout:flush()
  end
end

--- Memory per task: call it before the tasks exist, and what it returns when they are all parked.
-- @return a function `bytes_per_task(n)`
function measure.memory()
  local before = status_kb "VmRSS"
  return function(n) return (status_kb "VmRSS" - before) * 1024 / n end
end

--- The same pseudo-random delays in [0, 1) for every competitor.
-- @return a function that returns the next one
function measure.delays()
  local x = 42
  return function()
    x = (x * 1103515245 + 12345) & 0x7fffffff
    return x / 2147483648.0
  end
end

--- Wraps a sleep so that every 1000th one is timed.
-- @return the wrapped sleep, and a function that returns the worst errors: `{early_ms=, late_ms=}`
function measure.sampled(sleep, clock)
  local n, early, late = 0, 0, 0
  local function sampled(delay)
    n = n + 1
    if n % SAMPLE_EVERY ~= 0 then return sleep(delay) end
    local began = clock()
    sleep(delay)
    local err = clock() - began - delay
    early, late = math.max(early, -err), math.max(late, err)
  end
  return sampled, function() return { early_ms = early * 1e3, late_ms = late * 1e3 } end
end

--- Raises unless the array holds 1 to n.
function measure.check_results(results, n)
  local sum = 0
  for i = 1, n do sum = sum + results[i] end
  assert(sum == n * (n + 1) // 2, "wrong results")
end

--- Counts who is inside a semaphore; the check runs after the measured part.
-- @return `enter`, `leave`, and `check`, which raises unless exactly PERMITS were inside at the fullest
function measure.census()
  local inside, most = 0, 0
  local function enter()
    inside = inside + 1
    most = math.max(most, inside)
  end
  local function leave() inside = inside - 1 end
  local function check() assert(most == measure.PERMITS and inside == 0, "wrong number of permits") end
  return enter, leave, check
end

--- Makes FILES files of FILE_SIZE bytes.
-- @return the directory, in which they are called 1, 2, ..., and a function that removes all
function measure.files()
  local pipe <close> = assert(io.popen("mktemp -d"))
  local folder, data = pipe:read("l"), ("x"):rep(measure.FILE_SIZE)
  for i = 1, measure.FILES do
    local file <close> = assert(io.open(("%s/%d"):format(folder, i), "w"))
    assert(file:write(data))
  end
  return folder, function() os.execute(("rm -r '%s'"):format(folder)) end
end

--- Runs the workload that the command line names.
-- @param workloads functions by name
-- @param run called with the function
function measure.main(workloads, run)
  local workload = workloads[arg[1]]
  if workload then return run(workload) end
  print '{"skip":true}'
end

return measure
