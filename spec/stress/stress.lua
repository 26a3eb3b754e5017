-- Random programs over the whole API: tasks that spawn, wait for, time out, cancel and fail each other, share every
-- kind of primitive, and talk over loopback, while the collector runs in one of its modes. For scripts/stress.sh, which
-- says by the environment: STRESS_SECONDS, STRESS_SEED (of the first program; each next one has the next number),
-- STRESS_COUNT (of programs; else by time), STRESS_NOTE (a file in which the seed of the program under way is kept).
--
-- Each task draws from a generator of its own, so that what a program does depends little on how its I/O is timed. A
-- finding: a crash, a hang, an error that is not the program's own, a task that does not end when it is cancelled, a
-- primitive that has waiters or holders left, an object that the loop keeps, a descriptor that stays open.
local async = require "luawait"
local net = require "luawait.net"
local actions = require "spec.stress.actions"
local count_descriptors = require "spec.support.descriptors"
local files = require "spec.stress.files"
local helpers = require "spec.support.helpers"

local seed = math.tointeger(tonumber(os.getenv("STRESS_SEED"))) or os.time()
local count = math.tointeger(tonumber(os.getenv("STRESS_COUNT"))) or math.huge
local seconds = tonumber(os.getenv("STRESS_SECONDS")) or 10
local note = os.getenv("STRESS_NOTE")

local function finding(text, ...)
  io.stderr:write("stress: ", text:format(...), "\n")
  io.stderr:flush()
  files.clean()
  os.exit(1)
end

-- ---- errors that a program may see ----

local function check_error(err)
  if type(err) == "table" and err.name == "ExceptionGroup" then
    for _, each in ipairs(err.errors) do check_error(each) end
  elseif type(err) == "table" then
    if not actions.expected[err.name] then finding("unexpected error: %s", err) end
  elseif type(err) ~= "string" or not err:find(actions.MARK, 1, true) then -- coroutine.wrap puts a place before it
    finding("unexpected error: %s", err)
  end
end

local function check_report(info)
  local message = info.message
  if message:find("by force", 1, true) then finding("%s\n%s", message, info.traceback) end
  if info.error ~= nil then check_error(info.error) end
end

-- ---- one program ----

--- Ends the program: everybody sees `over`, and is cancelled once or, if it goes on, again.
local function finish(env)
  local main = async.current_task()
  env.over = true
  local stop = async.time() + 30
  while #async.all_tasks() > 1 do
    for _, task in ipairs(async.all_tasks()) do
      if task ~= main then task:cancel() end
    end
    async.sleep(0)
    if async.time() > stop then
      for _, task in ipairs(async.all_tasks()) do
        io.stderr:write(tostring(task), " waits for ", tostring(task:waiting_on()), "\n", task:get_stack(), "\n")
      end
      finding("tasks do not end")
    end
  end
end

local function program(env)
  local server <close> = net.serve("127.0.0.1", 0, function(stream) actions.handle(env, stream) end, {
    max_connections = env.rng(3) > 1 and 4 or nil,
  })
  local _
  _, env.port = server:address()
  actions.open(env)
  for _ = 1, env.rng(6) do actions.spawn(env) end
  async.sleep(env.rng(10) / 1000)
  if env.rng(3) == 1 then
    env.over = true -- run cancels them
    return
  end
  finish(env)
end

--- After the run: nobody waits any more, nothing is held.
local function check_env(env)
  for name, primitive in pairs(env.primitives) do
    local waiters = primitive:statistics().waiters
    if waiters and waiters ~= 0 then finding("%s has %d waiters left", name, waiters) end
  end
  if env.primitives.lock:locked() then finding("the lock is held") end
  if env.primitives.condition:locked() then finding("the condition is held") end
  if env.primitives.semaphore:value() ~= 2 then finding("%d of 2 permits", env.primitives.semaphore:value()) end
  if env.primitives.bounded:value() ~= 1 then finding("%d of 1 permit", env.primitives.bounded:value()) end
end

local function descriptors() return count_descriptors() or 0 end

local collectors = {
  function() collectgarbage("incremental", 200, 100) end,
  function() collectgarbage("incremental", 0, 1000) end,
  function() collectgarbage("generational") end,
}

local function play()
  local rng = actions.generator(seed)
  collectors[rng(#collectors)]()
  local env = { rng = rng, over = false, budget = 400, kept = setmetatable({}, { __mode = "k" }), tasks = {},
    futures = {} }
  local ok, err = pcall(async.run, function() return program(env) end,
    { debug = rng(4) == 1, slow_callback = 3600, shutdown_timeout = 30, signals = rng(2) == 1,
      watchdog = rng(8) == 1 and 3600 or nil })
  if not ok then check_error(err) end
  check_env(env)
  local kept = env.kept
  env = nil -- luacheck: ignore
  -- An emergency collection in a finalizer puts the others off: each full one may call a few only.
  for _ = 1, 500 do
    collectgarbage()
    if not next(kept) then return end
  end
  local left = next(kept)
  finding("kept for ever: %s", select(2, pcall(tostring, left)))
end

--- Runs programs until the time is up. Returns how many.
return function()
  local stop, played = os.time() + seconds, 0
  async.run(function() end) -- libuv keeps a pipe for signals
  async.set_exception_handler(check_report)
  files.prepare()
  local before = descriptors()
  while played < count and (played == 0 or os.time() < stop) do
    if note then helpers.write_file(note, tostring(seed)) end
    play()
    seed, played = seed + 1, played + 1
    if descriptors() > before then finding("descriptors: %d, %d before", descriptors(), before) end
  end
  files.clean()
  return played
end
