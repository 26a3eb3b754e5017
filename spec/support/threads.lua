-- What threads.c runs in several states at once: everything of the library that other threads have a hand in.
-- luacheck: read globals ready interrupted
local async = require "luawait"
local fs = require "luawait.fs"
local net = require "luawait.net"

local function hold_the_loop(seconds)
  local stop = async.time() + seconds
  repeat until async.time() >= stop
end

local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

local function talk()
  local server <close> = net.serve("127.0.0.1", 0, echo)
  local _, port = server:address()
  async.task_group(function(tg)
    for i = 1, 5 do
      tg:create_task(function()
        local client <close> = net.connect("localhost", port)
        client:write(i, "\n", ("x"):rep(50000), "\n")
        assert(client:read_line() == tostring(i))
        assert(#client:read_line() == 50000)
      end)
    end
  end)
end

local function look_up()
  local tasks = {}
  for i = 1, 8 do tasks[i] = async.create_task(function() net.resolve("localhost", i) end) end
  async.sleep(0)
  for i = 1, 8, 2 do tasks[i]:cancel() end
  async.wait(tasks)
  assert(tasks[8]:state() == "done")
end

-- Files are read and written by the threads of libuv's pool.
local function use_files()
  local file <close>, path = fs.mkstemp()
  local tasks = {}
  for i = 1, 8 do
    tasks[i] = async.create_task(function()
      file:write(("x"):rep(5000), "\n")
      return #fs.read_file(path), file:read(0)
    end)
  end
  async.sleep(0)
  for i = 1, 8, 2 do tasks[i]:cancel() end
  async.wait(tasks)
  assert(tasks[8]:state() == "done" and file:seek("set") == 0 and #file:read() == 5000)
  fs.remove(path)
end

for _ = 1, 3 do
  async.run(function() async.gather(talk, look_up, use_files) end, { signals = interrupted })
end

-- The watchdog's thread looks at the steps of the loop, and sets a hook.
async.run(function()
  for _ = 1, 3 do
    hold_the_loop(0.06)
    async.sleep(0)
  end
end, { watchdog = 0.03, signals = false })

if interrupted then
  local ok, err = pcall(async.run, function()
    async.call_soon(ready)
    async.sleep(30)
  end, { signals = true, watchdog = 10 })
  assert(not ok and err.name == "KeyboardInterrupt", tostring(err))
end
