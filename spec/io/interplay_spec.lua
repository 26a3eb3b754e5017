-- Operations of all kinds at once, of which any may be cancelled at any moment: nothing is left of them.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure_text = helpers.failure_text
local settle = helpers.settle
local run_pair = support.run_pair

describe("Closing a stream", function()
  it("wakes each task that waits on it with an error, whatever it waits for", function()
    run_pair(function(client)
      local waits = {
        function() client:read_line() end,
        function() client:write(("x"):rep(16 * 1024 * 1024)) end,
        function() client:flush() end,
        function() client:shutdown() end,
      }
      local tasks = {}
      for i, wait in ipairs(waits) do
        tasks[i] = async.create_task(wait)
        settle()
        assert.equal("waiting", tasks[i]:state())
      end
      client:close()
      for i = 1, #tasks do
        assert.equal("RuntimeError: stream is closed", failure_text(async.await, tasks[i]))
      end
    end)
  end)

  it("wakes a task that reads through gather, in a timeout, in a group", function()
    run_pair(function(client)
      local task = async.create_task(function()
        async.task_group(function(group)
          group:create_task(function()
            async.gather(function() async.timeout(60, client.read, client) end, helpers.forever)
          end)
        end)
      end)
      settle()
      client:close()
      local ok, err = pcall(async.await, task)
      assert.is_false(ok)
      assert.equal("ExceptionGroup", err.name)
      assert.equal("RuntimeError: stream is closed", tostring(err.errors[1]))
    end)
  end)
end)

--- What the operations work on: servers, a full pipe, a silent peer, sockets.
local function new_world()
  local path = os.tmpname()
  os.remove(path)
  local world = { path = path, event = async.Event(), queue = async.Queue() }
  local function serve(stream)
    for line in stream:lines() do stream:write(line, "\n") end
  end
  local function silent(stream) pcall(stream.read_exactly, stream, 1 << 30) end
  world.tcp, world.unix = net.serve("127.0.0.1", 0, serve), net.serve_unix(path, serve)
  world.silent = net.serve_unix("\0" .. path, silent)
  world.udp = net.udp { host = "127.0.0.1" }
  world.port = select(2, world.tcp:address())
  world.udp_port = select(2, world.udp:sockname())
  return world
end

local function close_world(world)
  for _, name in ipairs({ "tcp", "unix", "silent" }) do world[name]:shutdown(0) end
  world.udp:close()
end

--- Closes the stream in every way that a scope is left.
local function aborting(stream)
  return helpers.defer(function() stream:abort() end)
end

local function ask(stream)
  local _ <close> = aborting(stream)
  stream:write("hello\n")
  assert.equal("hello", stream:read_line())
end

local operations = {
  function(world) ask(net.connect_unix(world.path)) end,
  function(world)
    local stream = net.connect_unix("\0" .. world.path)
    local _ <close> = aborting(stream)
    stream:read()
  end,
  function(world)
    local stream <close> = net.connect_unix(world.path)
    stream:write("x\ny\n")
    stream:shutdown()
    assert.equal("x\ny\n", stream:read_all())
  end,
  function(world)
    local socket <close> = net.udp { remote_host = "127.0.0.1", remote_port = world.udp_port }
    socket:send("ping")
    socket:recv()
  end,
  function(world) world.udp:recv() end,
  function(world) world.event:wait() end,
  function(world) world.queue:put((world.queue:get())) end,
  function(world) async.gather(function() world.event:wait() end, function() async.sleep(0.002) end) end,
  function() async.sleep(math.random() / 1000) end,
  function() net.resolve("127.0.0.1", 80) end,
  function(world)
    local socket <close> = net.udp { host = "127.0.0.1" }
    socket:send("x", "127.0.0.1", world.udp_port)
    async.sleep(0)
    world.udp:send("y", "127.0.0.1", (select(2, socket:sockname())))
    socket:recv()
  end,
  function() async.shield(function() async.sleep(0.001) end) end,
  function(world) async.timeout(0.001, world.udp.recv, world.udp) end,
}

local bulk = ("x"):rep(300000) -- more than a socket holds

-- Few of those of which each leaves something to the system for a while, or which take a thread.
local rare = {
  function(world)
    local stream <close> = net.connect_unix("\0" .. world.path)
    async.timeout(0.001, stream.write, stream, bulk)
  end,
  function(world) ask(net.connect("127.0.0.1", world.port)) end,
  function() net.resolve("localhost", 80) end,
  function() net.connect("127.0.0.1", 1) end,
  function(world) ask(net.connect("localhost", world.port)) end,
}

--- A hundred operations in one gather; one of them is cancelled at a random moment, then the rest.
local function round(world)
  local tasks = {}
  for i = 1, 100 do
    local list = i <= 4 and rare or operations
    local operation = list[math.random(#list)]
    tasks[i] = async.create_task(function() operation(world) end)
  end
  local all = async.create_task(function() return async.gather(table.unpack(tasks)) end)
  for _ = 1, math.random(0, 6) do async.sleep(0) end
  if math.random(3) == 1 then async.sleep(math.random() / 2000) end
  tasks[math.random(#tasks)]:cancel()
  async.wait({ all }, { timeout = 0 })
  all:cancel()
  for i = 1, #tasks do tasks[i]:cancel() end
  async.wait(tasks)
  async.wait({ all })
  for i = 1, #tasks do -- each error is known, and none is one of the library's own confusion
    local err = not tasks[i]:cancelled() and tasks[i]:exception()
    local name = err and helpers.kind(err)
    local known = not err or name == "TimeoutError" or name == "OSError" or name == "CancelledError"
    if not known then error(err) end -- a hundred thousand times assert.is_true would take as long as all the rest
  end
  if not all:cancelled() then all:exception() end
end

describe("gather of a hundred operations with one cancelled", function()
  it("a thousand times leaves no descriptor, task or memory behind", function()
    if not support.descriptors() then return pending("needs /proc") end
    local rounds, seed = helpers.scale(1000), os.time()
    math.randomseed(seed)
    local before = support.descriptors()
    local strange
    local ok, err = pcall(async.run, function()
      async.set_exception_handler(function(info) -- of handlers whose peer was reset
        if helpers.kind(info.error) ~= "OSError" then strange = tostring(info.error) end
      end)
      local world = new_world()
      local function measure()
        support.wait_until(function()
          return world.tcp:statistics().connections + world.unix:statistics().connections
            + world.silent:statistics().connections == 0 and #async.all_tasks() == 1 -- shielded ones end by themselves
        end)
        settle()
        helpers.collect_garbage()
        settle()
        return support.descriptors(), collectgarbage("count")
      end
      for _ = 1, rounds // 4 do round(world) end
      local descriptors, memory = measure()
      for _ = 1, rounds - rounds // 4 do round(world) end
      local descriptors_after, memory_after = measure()
      assert.equal(descriptors, descriptors_after)
      assert.is_true(memory_after < memory + 100, ("%.0f KB, %.0f before"):format(memory_after, memory))
      close_world(world)
    end)
    helpers.collect_garbage()
    assert.is_true(ok, ("seed %d: %s"):format(seed, tostring(err)))
    assert.equal(before, support.descriptors())
    assert.is_nil(strange)
  end)
end)
