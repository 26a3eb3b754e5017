local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local settle = helpers.settle
local run_pair, wait_until = support.run_pair, support.wait_until

local MUCH = 16 * 1024 * 1024

describe("Stream.close", function()
  it("ends the stream for the peer", function()
    run_pair(function(client, server)
      client:write("bye")
      client:close()
      assert.is_true(client:is_closing())
      assert.equal("bye", server:read_all())
    end)
  end)

  it("twice is fine", function()
    run_pair(function(client)
      client:close()
      client:close()
      settle()
      client:close()
      assert.is_true(client:is_closing())
    end)
  end)

  it("makes every other method raise RuntimeError", function()
    run_pair(function(client)
      client:close()
      settle()
      local calls = {
        read = {}, read_exactly = { 1 }, read_until = { "x" }, read_line = {}, read_all = {}, write = { "x" },
        flush = {}, shutdown = {}, sockname = {}, set_nodelay = { true }, set_keepalive = { true },
      }
      for method, arguments in pairs(calls) do
        local err = failure(client[method], client, table.unpack(arguments))
        assert.equal("RuntimeError: stream is closed", tostring(err))
      end
      assert.equal("RuntimeError", failure_kind(client:lines()))
    end)
  end)

  it("wakes the reader with RuntimeError", function()
    run_pair(function(client)
      local reader = async.create_task(function() return client:read() end)
      settle()
      client:close()
      assert.equal("RuntimeError: stream is closed", failure_text(async.await, reader))
    end)
  end)

  it("wakes a reader that has been woken by data with RuntimeError too", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return client:read() end)
      server:write("data")
      settle()
      client:close()
      local ok, got = pcall(async.await, reader)
      assert.equal(ok and "data" or "RuntimeError: stream is closed", tostring(got))
    end)
  end)

  it("wakes writers with RuntimeError, and what they wrote is sent", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local writer = async.create_task(function() client:write(text) end)
      local flusher = async.create_task(function()
        async.sleep(0)
        client:flush()
      end)
      local ender = async.create_task(function()
        async.sleep(0)
        client:shutdown()
      end)
      settle()
      client:close()
      for _, task in ipairs({ writer, flusher, ender }) do
        assert.equal("RuntimeError: stream is closed", failure_text(async.await, task))
      end
      assert.is_true(text == server:read_all())
    end)
  end)

  it("sends what is queued, though the stream is gone for the program", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local sent = async.Future()
      async.call_soon(function()
        client:write(text)
        client:close()
        sent:set_result(client:statistics().queued)
      end)
      assert.is_true(async.await(sent) > 0)
      assert.equal("<Stream tcp closing>", tostring(client))
      assert.is_true(text == server:read_all())
      wait_until(function() return tostring(client) == "<Stream tcp closed>" end)
    end)
  end)

  it("gives up what is queued when the peer resets", function()
    run_pair(function(client, server)
      async.await(async.create_task(function()
        async.call_soon(function()
          client:write(("x"):rep(MUCH))
          client:close()
        end)
        settle()
      end))
      server:close()
      wait_until(function() return tostring(client) == "<Stream tcp closed>" end)
    end)
  end)

  it("does not keep the program from ending", function()
    local output = helpers.child_output([[
      local net = require "luawait.net"
      async.run(function()
        local server = net.serve("127.0.0.1", 0, function() async.sleep(math.huge) end)
        local client = net.connect(server:address())
        async.call_soon(function()
          client:write(("x"):rep(16 * 1024 * 1024))
          client:close()
        end)
        async.sleep(0)
      end)
      print("ended")
    ]], { seconds = 20 })
    assert.equal("ended\n", output)
  end)
end)

describe("Stream.abort", function()
  it("resets the connection", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return server:read() end)
      settle()
      client:abort()
      assert.is_true(client:is_closing())
      assert.equal("ECONNRESET", failure(async.await, reader).code)
    end)
  end)

  it("drops what is queued", function()
    run_pair(function(client, server)
      async.call_soon(client.write, client, ("x"):rep(MUCH))
      settle()
      assert.is_true(client:statistics().queued > 0)
      client:abort()
      wait_until(function() return tostring(client) == "<Stream tcp closed>" end)
      local ok, got = pcall(server.read_all, server)
      assert.is_false(ok)
      assert.equal("ECONNRESET", got.code)
      assert.is_true(server:statistics().bytes_read < MUCH)
    end)
  end)

  it("cuts short what close still sends", function()
    run_pair(function(client)
      async.call_soon(client.write, client, ("x"):rep(MUCH))
      settle()
      client:close()
      assert.equal("<Stream tcp closing>", tostring(client))
      client:abort()
      client:abort()
      wait_until(function() return tostring(client) == "<Stream tcp closed>" end)
      client:abort()
    end)
  end)

  it("wakes readers and writers with RuntimeError", function()
    run_pair(function(client)
      local reader = async.create_task(function() return client:read() end)
      local writer = async.create_task(function() client:write(("x"):rep(MUCH)) end)
      settle()
      client:abort()
      for _, task in ipairs({ reader, writer }) do
        assert.equal("RuntimeError: stream is closed", failure_text(async.await, task))
      end
    end)
  end)
end)

describe("A stream in a <close> variable", function()
  it("is closed on the way out", function()
    run_pair(function(client, server)
      do
        local stream <close> = client
        stream:write("x")
      end
      assert.is_true(client:is_closing())
      assert.equal("x", server:read_all())
    end)
  end)

  it("waits for what was written when the scope is left well", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local task = async.create_task(function()
        local stream <close> = client
        async.pcall(async.timeout, 0.001, function() stream:write(text) end)
      end)
      wait_until(function() return (task:waiting_on() or ""):find("to take") end)
      assert.is_false(task:done())
      assert.is_true(text == server:read_all())
      async.await(task)
      assert.is_true(client:is_closing())
    end)
  end)

  it("does not wait when it is left with an error", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local err = failure(function()
        local stream <close> = client
        async.timeout(0.001, function() stream:write(text) end)
      end)
      assert.equal("TimeoutError", err.name)
      assert.is_true(client:is_closing())
      assert.is_true(text == server:read_all())
    end)
  end)

  it("is closed when that wait is cancelled", function()
    run_pair(function(client, server)
      local task = async.create_task(function()
        local stream <close> = client
        pcall(async.timeout, 0.001, function() stream:write(("x"):rep(MUCH)) end)
      end)
      wait_until(function() return (task:waiting_on() or ""):find("to take") and client:statistics().writers == 1 end)
      settle()
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      assert.is_true(client:is_closing())
      assert.equal(MUCH, #server:read_all())
    end)
  end)

  it("is closed where no wait is possible", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local co = coroutine.create(function()
        local stream <close> = client
        coroutine.yield(stream)
      end)
      coroutine.resume(co)
      async.call_soon(function() client:write(text) end)
      settle()
      assert.is_true(coroutine.close(co))
      assert.is_true(client:is_closing())
      assert.is_true(text == server:read_all())
    end)
  end)

  it("sends what is queued when it is left in a callback, or in a function that C calls", function()
    local function leave(stream)
      local owned <close> = stream
      return owned and "left"
    end
    local ways = {
      function(stream) async.call_soon(leave, stream) end,
      function(stream) string.gsub("x", "x", function() leave(stream) end) end,
    }
    for _, way in ipairs(ways) do
      run_pair(function(client, server)
        local text = support.noise(MUCH)
        async.call_soon(function() client:write(text) end)
        settle()
        way(client)
        settle()
        assert.is_true(client:is_closing())
        assert.is_true(text == server:read_all())
      end)
    end
  end)
end)

describe("A dropped stream", function()
  it("is closed when it is collected", function()
    helpers.run(function()
      local ended = async.Future()
      local server <close> = net.serve("127.0.0.1", 0, function(stream)
        ended:set_result(stream:read_all())
      end)
      local host, port = server:address()
      async.await(async.create_task(function() net.connect(host, port):write("dropped") end))
      helpers.collect_garbage()
      assert.equal("dropped", async.await(ended))
    end)
  end)

  it("is reported in debug mode", function()
    local reports, ok, err = helpers.collect(function()
      local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local host, port = server:address()
      async.await(async.create_task(function() net.connect(host, port) end))
      helpers.collect_garbage()
    end, { debug = true, slow_callback = 3600 })
    assert.is_true(ok, err)
    assert.equal(1, #reports)
    assert.matches("^<Stream tcp 127.* open> was dropped without being closed$", reports[1].message)
  end)

  it("is not reported when it was closed", function()
    helpers.run(function()
      local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local host, port = server:address()
      async.await(async.create_task(function() net.connect(host, port):close() end))
      helpers.collect_garbage()
    end, { debug = true, slow_callback = 3600 })
  end)
end)

describe("A stream that is collected", function()
  it("says so to a finalizer that runs after its own", function()
    helpers.run(function()
      local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local message
      do
        local holder = setmetatable({}, {
          __gc = function(self) message = failure_text(self.stream.read, self.stream) end,
        })
        async.await(async.create_task(function() holder.stream = net.connect(server:address()) end))
      end
      for _ = 1, 3 do helpers.collect_garbage() end
      assert.equal("RuntimeError: the object has been collected", message)
    end)
  end)
end)

describe("A stream after its run", function()
  it("is closed", function()
    local stream = run_pair(function(client) return client end)
    assert.is_true(stream:is_closing())
    assert.equal("<Stream tcp closed>", tostring(stream))
    assert.equal("RuntimeError: stream is closed", failure_text(stream.write, stream, "x"))
    assert.equal(0, stream:statistics().queued)
    stream:close()
  end)

  it("is closed by the end of the run, with readers and writers", function()
    local streams = {}
    helpers.run(function()
      local server = net.serve("127.0.0.1", 0, function(stream) stream:read() end)
      local host, port = server:address()
      for i = 1, 3 do streams[i] = net.connect(host, port) end
      async.create_task(function() streams[1]:read() end)
      async.create_task(function() streams[2]:write(("x"):rep(MUCH)) end)
      settle()
    end)
    for _, stream in ipairs(streams) do
      assert.equal("<Stream tcp closed>", tostring(stream))
      assert.equal("RuntimeError: stream is closed", failure_text(stream.read, stream))
    end
  end)

  it("does not come back to life in the next run", function()
    local stream = run_pair(function(client) return client end)
    run_pair(function(client, server)
      assert.equal("RuntimeError: stream is closed", failure_text(stream.read, stream))
      stream:close()
      client:write("x")
      assert.equal("x", server:read())
    end)
  end)
end)

describe("The names of a stream", function()
  it("are those of the two ends", function()
    run_pair(function(client, server)
      local host, port = client:peername()
      assert.equal("127.0.0.1", host)
      assert.same({ host, port }, { server:sockname() })
      assert.same({ client:sockname() }, { server:peername() })
    end)
  end)

  it("tell the peer after close too", function()
    run_pair(function(client)
      local host, port = client:peername()
      client:close()
      assert.same({ host, port }, { client:peername() })
    end)
  end)

  it("stand in tostring", function()
    run_pair(function(client)
      local _, here = client:sockname()
      local _, there = client:peername()
      assert.equal(("<Stream tcp 127.0.0.1:%d -> 127.0.0.1:%d open>"):format(here, there), tostring(client))
    end)
  end)
end)

describe("The options of a stream", function()
  it("can be set", function()
    run_pair(function(client)
      client:set_nodelay(false)
      client:set_nodelay(true)
      client:set_keepalive(true)
      client:set_keepalive(true, 5)
      client:set_keepalive(false)
      assert.is_false(client:is_closing())
    end)
  end)

  it("refuse bad arguments", function()
    run_pair(function(client)
      assert.matches("boolean expected, got number", failure_text(function() client:set_nodelay(1) end))
      assert.matches("boolean expected, got n", failure_text(function() client:set_keepalive() end))
      assert.matches("bad argument #2 .*seconds from 1", failure_text(function() client:set_keepalive(true, 0) end))
      assert.matches("number expected", failure_text(function() client:set_keepalive(true, {}) end))
    end)
  end)
end)

describe("A TCP connection", function()
  local faults = require "spec.support.faults"

  it("sends small writes at once from its start on, and can be told not to", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local before = [[
      local net = require "luawait.net"
      async.set_exception_handler(function() end) -- of accept, which fails too
      local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:read() end, { max_connections = 1 })
      local first <close> = net.connect(server:address()) -- the others are not accepted, so the calls are the client's
      while server:statistics().connections == 0 do async.sleep(0) end]]
    assert.matches("uv_tcp_nodelay\twell", faults.calls(before, "net.connect(server:address()):close()"))
    assert.matches("^uv_tcp_nodelay\tOSError\n$", faults.calls(before, "first:set_nodelay(false)"))
  end)
end)

describe("Stream.statistics", function()
  it("counts", function()
    run_pair(function(client, server)
      client:write("12345")
      assert.equal("123", server:read_exactly(3))
      assert.equal(5, client:statistics().bytes_written)
      assert.same({ bytes_read = 5, bytes_written = 0, buffered = 2, queued = 0, readers = 0, writers = 0 },
        server:statistics())
      local reader = async.create_task(function() server:read_all() end)
      settle()
      assert.equal(1, server:statistics().readers)
      reader:cancel()
    end)
  end)
end)
