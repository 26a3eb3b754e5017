-- What each kind of wait allocates once everything has been used before. Run by `run.py --allocs` in
-- alloc_host, which counts. The collector stands still while a row is counted, so that its own work (it
-- shrinks stacks) does not show. Returns false when a wait that should allocate nothing does.
local async = require "luawait"
local has_net, net = pcall(require, "luawait.net")

local count_allocations = assert(rawget(_G, "count_allocations"), "runs in alloc_host only")
local TYPES = { "thread", "userdata", "table", "function", "string", "other" }
local WARM = 200 -- times done before the counting

local before, after = {}, {}
count_allocations(before)
count_allocations(after)

local HEAD = [[
| one of these, once warm                | blocks |  bytes | C blocks | C bytes | new objects              | is free |
| -------------------------------------- | -----: | -----: | -------: | ------: | ------------------------ | ------- |]]
local ROW = "| %-38s | %6.2f | %6.0f | %8.2f | %7.0f | %-24s | %-7s |"

local all_good = true

-- per operation, rounded so that what a row allocates once does not show
local function per(n, field) return (after[field] - before[field]) / n end

local function kinds(n)
  local list = {}
  for _, kind in ipairs(TYPES) do
    local each = per(n, kind)
    if each >= 0.01 then list[#list + 1] = ("%.4g %s"):format(each, kind) end
  end
  return table.concat(list, ", ")
end

local function print_row(name, n, free)
  local blocks, c_blocks = per(n, "blocks"), per(n, "c_blocks")
  local verdict = ""
  if free then
    local good = blocks < 0.01 and c_blocks < 0.01
    verdict = good and "yes" or "**no**"
    all_good = all_good and good
  end
  print(ROW:format(name, blocks, per(n, "bytes"), c_blocks, per(n, "c_bytes"), kinds(n), verdict))
end

-- body(k) does the operation k times
local function count(name, n, free, body)
  collectgarbage()
  collectgarbage "stop"
  body(WARM)
  count_allocations(before)
  body(n)
  count_allocations(after)
  collectgarbage "restart"
  print_row(name, n, free)
end

local function nothing() end

local function sleeps(delay)
  return function(k) for _ = 1, k do async.sleep(delay) end end
end

-- two tasks hand one permit to and fro: each acquire but the first has to wait
local function contended(primitive)
  return function(k)
    primitive:acquire()
    local function hold()
      for _ = 1, k / 2 do
        primitive:acquire()
        primitive:release()
      end
    end
    local first, second = async.create_task(hold), async.create_task(hold)
    async.sleep(0)
    primitive:release()
    async.await(first)
    async.await(second)
  end
end

local function events(k)
  local event = async.Event()
  local waiter = async.create_task(function() for _ = 1, k do event:wait() end end)
  for _ = 1, k do
    async.sleep(0)
    event:set()
    event:clear()
  end
  async.await(waiter)
end

-- a task that is finished by hand while the other one waits for it
local function futures(k)
  for _ = 1, k do
    local future = async.Future()
    async.call_soon(future.set_result, future)
    async.await(future)
  end
end

local function tasks(k)
  for _ = 1, k do async.await(async.create_task(nothing)) end
end

local function sleeping_tasks(k)
  local function nap() async.sleep(0) end
  for _ = 1, k do async.await(async.create_task(nap)) end
end

local function calls(awaiting)
  local job = async(nothing)
  return function(k) for _ = 1, k do awaiting(job()) end end
end

local function deadlines(k)
  local function nap() async.sleep(0) end
  for _ = 1, k do async.wait_for(nap, 60) end
end

local function queue_items(k)
  local queue = async.Queue(1)
  local producer = async.create_task(function() for i = 1, k do queue:put(i) end end)
  for _ = 1, k do queue:get() end
  async.await(producer)
end

local function notifications(k)
  local condition = async.Condition()
  local function take_turns()
    local _ <close> = condition:acquire()
    for _ = 1, k / 2 do
      condition:wait()
      condition:notify()
    end
  end
  local first, second = async.create_task(take_turns), async.create_task(take_turns)
  async.sleep(0)
  condition:with(function() condition:notify() end)
  async.await(first)
  async.await(second)
end

local function meetings(k)
  local barrier = async.Barrier(2)
  local other = async.create_task(function() for _ = 1, k do barrier:wait() end end)
  for _ = 1, k do barrier:wait() end
  async.await(other)
end

-- messages of the same bytes go out and come back: two writes and two reads that wait
local function round_trips(k)
  local server = net.serve("127.0.0.1", 0, function(peer)
    for _ = 1, k do peer:write(peer:read()) end
  end)
  local stream = net.connect(server:address())
  for _ = 1, k do
    stream:write "ping"
    stream:read()
  end
  stream:close()
  server:close()
end

async.run(function()
  print(HEAD)
  count("sleep(0)", 20000, true, sleeps(0))
  count("sleep(0.001)", 200, true, sleeps(0.001))
  count("semaphore: acquire that waits, release", 20000, true, contended(async.Semaphore(1)))
  count("event: wait, set, clear", 20000, true, events)
  count("await(Future()), set by call_soon", 5000, false, futures)
  count("await(create_task(fn))", 5000, false, tasks)
  count("await(create_task(fn)), fn sleeps", 5000, false, sleeping_tasks)
  count("await(job())", 5000, false, calls(async.await))
  count("gather(job())", 5000, false, calls(async.gather))
  count("wait_for(fn, 60), fn sleeps", 5000, false, deadlines)
  count("queue: put and get that wait", 20000, true, queue_items)
  count("lock: acquire that waits, release", 20000, true, contended(async.Lock()))
  count("condition: wait, notify", 20000, true, notifications)
  count("barrier: two waits", 20000, true, meetings)
  for _, name in ipairs { "Event", "Lock", "Semaphore", "Condition", "Queue", "PriorityQueue" } do
    local new = async[name]
    count(name .. "(), idle", 1000, false, function(k) for _ = 1, k do new() end end)
  end
  count("Barrier(2), idle", 1000, false, function(k) for _ = 1, k do async.Barrier(2) end end)
  if has_net then count("stream: write and read, there and back", 5000, false, round_trips) end
end)
return all_good
