local async = require "luawait"
local net = require "luawait.net"
local core = require "luawait.core"
local testing = require "luawait.testing"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle, forever = helpers.run, helpers.settle, helpers.forever
local run_server, wait_until = support.run_server, support.wait_until

local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

--- What a server that echoes lines answers to `text`.
local function ask(port, text)
  local client <close> = net.connect("127.0.0.1", port)
  client:write(text, "\n")
  return client:read_line()
end

describe("net.serve", function()
  it("runs a handler for each connection, all at once", function()
    local reports = run_server(echo, function(port)
      local clients = {}
      for i = 1, 20 do clients[i] = net.connect("127.0.0.1", port) end
      for i = 20, 1, -1 do clients[i]:write(("%d\n"):format(i)) end
      for i = 1, 20 do
        assert.equal(tostring(i), clients[i]:read_line())
        clients[i]:close()
      end
    end)
    assert.same({}, reports)
  end)

  it("closes the stream when the handler returns", function()
    run_server(function(stream) stream:write("hello") end, function(port)
      local client <close> = net.connect("127.0.0.1", port)
      assert.equal("hello", client:read_all())
    end)
  end)

  it("takes an async function as handler", function()
    local reports = run_server(async(function(stream)
      async.sleep(0)
      stream:write("from a coroutine")
    end), function(port)
      local client <close> = net.connect("127.0.0.1", port)
      assert.equal("from a coroutine", client:read_all())
    end)
    assert.same({}, reports)
  end)

  it("takes a callable object as handler", function()
    run_server(setmetatable({}, { __call = function(_, stream) stream:write("called") end }), function(port)
      local client <close> = net.connect("127.0.0.1", port)
      assert.equal("called", client:read_all())
    end)
  end)

  it("sends all that a handler wrote before it returned", function()
    local text = support.noise(8 * 1024 * 1024)
    run_server(function(stream)
      async.pcall(async.timeout, 0.001, function() stream:write(text) end)
    end, function(port)
      local client <close> = net.connect("127.0.0.1", port)
      assert.is_true(text == client:read_all())
    end)
  end)

  it("finds a free port, and tells it", function()
    run(function()
      local server <close> = net.serve("127.0.0.1", 0, echo)
      local host, port = server:address()
      assert.equal("127.0.0.1", host)
      assert.is_true(port > 0)
      assert.equal("x", ask(port, "x"))
      server:close()
      assert.same({ host, port }, { server:address() })
    end)
  end)

  it("listens on every interface with nil or \"*\"", function()
    for _, host in ipairs({ "*", false }) do
      run(function()
        local server <close> = net.serve(host or nil, 0, echo)
        local _, port = server:address()
        assert.equal("x", ask(port, "x"))
      end)
    end
  end)

  it("listens on a name", function()
    run(function()
      local server <close> = net.serve("localhost", 0, echo)
      local host, port = server:address()
      local client <close> = net.connect(host, port)
      client:write("x\n")
      assert.equal("x", client:read_line())
    end)
  end)

  it("can be cancelled while it looks up a name", function()
    run(function()
      local before = support.descriptors()
      local task = async.create_task(function() return net.serve("localhost", 0, echo) end)
      settle()
      assert.equal("the look-up of localhost", task:waiting_on())
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
      net.resolve("localhost")
      assert.equal(before, support.descriptors())
    end)
  end)

  it("raises OSError for an address that is in use or is not ours", function()
    run(function()
      local server <close> = net.serve("127.0.0.1", 0, echo)
      local _, port = server:address()
      local err = failure(net.serve, "127.0.0.1", port, echo)
      assert.equal("OSError", err.name)
      assert.equal("EADDRINUSE", err.code)
      assert.equal("127.0.0.1:" .. port, err.address)
      err = failure(net.serve, "192.0.2.1", 0, echo)
      assert.equal("EADDRNOTAVAIL", err.code)
      assert.equal("bind", err.syscall)
    end)
  end)

  it("takes any backlog, of which the system may make less", function()
    run(function()
      net.serve("127.0.0.1", 0, echo, { backlog = 2 ^ 53 }):close()
      net.serve("127.0.0.1", 0, echo, { backlog = 1 }):close()
    end)
  end)

  it("shares a port with reuseport", function()
    run(function()
      local first <close> = net.serve("127.0.0.1", 0, echo, { reuseport = true })
      local _, port = first:address()
      local second <close> = net.serve("127.0.0.1", port, echo, { reuseport = true })
      assert.equal("x", ask(port, "x"))
      assert.is_true(second:statistics().serving)
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      local calls = {
        { "bad argument #1 to 'serve' %(string expected, got number%)", 1, 0, echo },
        { "bad argument #2 to 'serve' %(port number expected, got string%)", "127.0.0.1", "x", echo },
        { "bad argument #2 to 'serve' %(port number expected, got nil%)", "127.0.0.1", nil, echo },
        { "bad argument #2 to 'serve' %(port from 0 to 65535 expected, got 65536%)", "127.0.0.1", 65536, echo },
        { "bad argument #3 to 'serve' %(function expected, got nil%)", "127.0.0.1", 0 },
        { "bad argument #4 to 'serve' %(table expected, got number%)", "127.0.0.1", 0, echo, 1 },
        { "bad argument #4 .*option 'max_connections': number expected, got string", "127.0.0.1", 0, echo,
          { max_connections = "x" } },
        { "bad argument #4 .*option 'max_connections': positive integer expected, got 0", "127.0.0.1", 0, echo,
          { max_connections = 0 } },
        { "bad argument #4 .*option 'backlog': positive integer expected, got 1.5", "127.0.0.1", 0, echo,
          { backlog = 1.5 } },
        { "bad argument #4 .*option 'reuseport': boolean expected, got number", "127.0.0.1", 0, echo,
          { reuseport = 1 } },
      }
      for _, call in ipairs(calls) do
        assert.matches(call[1], failure_text(net.serve, table.unpack(call, 2, 5)))
      end
    end)
  end)

  it("says that there is no loop", function()
    assert.matches("RuntimeError: no running event loop", failure_text(net.serve, "127.0.0.1", 0, echo))
  end)
end)

describe("A handler's error", function()
  it("is reported once, with its traceback, and ends that connection alone", function()
    local boom = setmetatable({}, { __tostring = function() return "boom" end })
    local reports = run_server(function(stream)
      if stream:read_line() == "fail" then error(boom) end
      stream:write("fine\n")
      forever()
    end, function(port)
      local good <close> = net.connect("127.0.0.1", port)
      local bad <close> = net.connect("127.0.0.1", port)
      good:write("go on\n")
      bad:write("fail\n")
      assert.equal("", bad:read_all())
      assert.equal("fine", good:read_line())
    end)
    assert.equal(1, #reports)
    assert.is_true(rawequal(boom, reports[1].error))
    assert.matches("^a connection handler of <Server 127%.0%.0%.1:%d+ serving connections=%d> failed$",
      reports[1].message)
    assert.matches("server_spec.lua", reports[1].traceback)
    assert.equal("failed", reports[1].task:state())
  end)

  it("is reported at once", function()
    local reports = {}
    run_server(function() error("early") end, function(port)
      async.set_exception_handler(function(info) reports[#reports + 1] = info end)
      local client <close> = net.connect("127.0.0.1", port)
      assert.equal("", client:read_all())
      wait_until(function() return #reports == 1 end)
    end)
    assert.matches("early", tostring(reports[1].error))
    helpers.collect_garbage()
    assert.equal(1, #reports)
  end)

  it("is reported when the peer resets the connection", function()
    local reports = run_server(function(stream)
      stream:write("never read")
      stream:read()
    end, function(port, server)
      local client = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      settle()
      client:close()
      wait_until(function() return server:statistics().connections == 0 end)
    end)
    assert.equal(1, #reports)
    assert.equal("ECONNRESET", reports[1].error.code)
  end)

  it("is not reported when it is a cancellation", function()
    local reports = run_server(forever, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      server:shutdown(0)
      assert.equal("", client:read_all())
    end)
    assert.same({}, reports)
  end)
end)

describe("opts.max_connections", function()
  it("lets further connections wait until one ends", function()
    local running, peak = 0, 0
    local reports = run_server(function(stream)
      running = running + 1
      peak = math.max(peak, running)
      echo(stream)
      running = running - 1
    end, function(port, server)
      local clients, answers = {}, 0
      for i = 1, 10 do
        clients[i] = net.connect("127.0.0.1", port)
        clients[i]:write("hello\n")
      end
      for i = 1, 10 do
        async.create_task(function()
          assert.equal("hello", clients[i]:read_line())
          answers = answers + 1
          clients[i]:close()
        end)
      end
      wait_until(function() return answers == 10 end)
      wait_until(function() return server:statistics().connections == 0 end)
      assert.equal(10, server:statistics().accepted)
      assert.equal(2, server:statistics().max_connections)
    end, { max_connections = 2 })
    assert.same({}, reports)
    assert.equal(2, peak)
  end)

  it("keeps the surplus waiting, not refused", function()
    run_server(echo, function(port, server)
      local first = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      local second <close> = net.connect("127.0.0.1", port)
      second:write("waits\n")
      settle()
      assert.equal(1, server:statistics().accepted)
      first:close()
      assert.equal("waits", second:read_line())
    end, { max_connections = 1 })
  end)
end)

describe("Server.close", function()
  it("stops accepting and lets the handlers go on", function()
    run_server(echo, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      client:write("before\n")
      assert.equal("before", client:read_line())
      server:close()
      assert.is_true(server:is_closing())
      client:write("after\n")
      assert.equal("after", client:read_line())
      assert.equal("ECONNREFUSED", failure(net.connect, "127.0.0.1", port).code)
    end)
  end)

  it("twice is fine", function()
    run_server(echo, function(_, server)
      server:close()
      server:close()
      assert.is_false(server:statistics().serving)
    end)
  end)

  it("frees the port", function()
    run(function()
      local server = net.serve("127.0.0.1", 0, echo)
      local _, port = server:address()
      server:close()
      local again <close> = net.serve("127.0.0.1", port, echo)
      assert.equal("x", ask(port, "x"))
      assert.is_false(again:is_closing())
    end)
  end)
end)

describe("Server.shutdown", function()
  it("waits for the handlers", function()
    run_server(function(stream)
      stream:read_all()
      stream:write("done")
    end, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      local ending = async.create_task(function() server:shutdown() end)
      settle()
      assert.equal("waiting", ending:state())
      client:shutdown()
      async.await(ending)
      assert.equal(0, server:statistics().connections)
      assert.equal("done", client:read_all())
    end)
  end)

  it("cancels what still runs after the timeout, and waits for it", function()
    local cleaned = {}
    local reports = run_server(function()
      local _ <close> = helpers.defer(function(err)
        async.sleep(0)
        cleaned[#cleaned + 1] = err.name
      end)
      forever()
    end, function(port, server)
      local clients = {}
      for i = 1, 3 do clients[i] = net.connect("127.0.0.1", port) end
      wait_until(function() return server:statistics().connections == 3 end)
      server:shutdown(0.01)
      assert.same({ "CancelledError", "CancelledError", "CancelledError" }, cleaned)
      for i = 1, 3 do assert.equal("", clients[i]:read_all()) end
    end)
    assert.same({}, reports)
  end)

  it("returns at once without connections", function()
    run_server(echo, function(_, server)
      server:shutdown()
      server:shutdown(5)
      assert.is_true(server:is_closing())
    end)
  end)

  it("can be called by a handler, which does not wait for itself", function()
    local ended = 0
    run_server(function(stream)
      stream:read()
      ended = ended + 1
    end, function(port, server)
      local stopper = net.serve("127.0.0.1", 0, function() server:shutdown() end)
      local _, stop_port = stopper:address()
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      local stop <close> = net.connect("127.0.0.1", stop_port)
      settle()
      client:write("end")
      assert.equal("", stop:read_all())
      assert.equal(1, ended)
      stopper:close()
    end)
    run(function()
      local server
      server = net.serve("127.0.0.1", 0, function() server:shutdown() end)
      local client <close> = net.connect(server:address())
      assert.equal("", client:read_all())
    end)
  end)

  it("can be called by several handlers, which do not wait for one another", function()
    run(function()
      local server
      server = net.serve("127.0.0.1", 0, function(stream)
        stream:read_line()
        server:shutdown()
        stream:write("bye")
      end)
      local one <close> = net.connect(server:address())
      local other <close> = net.connect(server:address())
      wait_until(function() return server:statistics().connections == 2 end)
      one:write("end\n")
      other:write("end\n")
      async.timeout(10, function()
        assert.equal("bye", one:read_all())
        assert.equal("bye", other:read_all())
      end)
    end)
  end)

  it("that is cancelled leaves the handlers running", function()
    run_server(echo, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      local ending = async.create_task(function() server:shutdown() end)
      settle()
      ending:cancel()
      assert.equal("CancelledError", failure_kind(async.await, ending))
      assert.is_true(server:is_closing())
      client:write("still\n")
      assert.equal("still", client:read_line())
    end)
  end)

  it("refuses bad arguments", function()
    run_server(echo, function(_, server)
      assert.matches("bad argument #1 to 'shutdown' %(number expected, got string%)",
        failure_text(function() server:shutdown("x") end))
      assert.matches("Server expected, got nil", failure_text(server.shutdown))
      assert.matches("Server expected, got table", failure_text(server.close, {}))
    end)
  end)
end)

describe("Server.serve_forever", function()
  it("waits until the server is closed", function()
    run_server(echo, function(_, server)
      local serving = async.create_task(function() server:serve_forever() end)
      settle()
      assert.equal("waiting", serving:state())
      server:close()
      async.await(serving)
    end)
  end)

  it("closes the server when it is cancelled", function()
    run_server(echo, function(port, server)
      local serving = async.create_task(function() server:serve_forever() end)
      settle()
      serving:cancel()
      assert.equal("CancelledError", failure_kind(async.await, serving))
      assert.is_true(server:is_closing())
      assert.equal("ECONNREFUSED", failure(net.connect, "127.0.0.1", port).code)
    end)
  end)
end)

describe("A server in a <close> variable", function()
  it("cancels its handlers also in a coroutine of the program's, where it cannot wait for them", function()
    run(function()
      local server
      local leave = coroutine.wrap(function()
        local held <close> = net.serve("127.0.0.1", 0, forever)
        server = held
        coroutine.yield()
      end)
      leave()
      local client <close> = net.connect(server:address())
      wait_until(function() return server:statistics().connections == 1 end)
      assert.equal("RuntimeError", failure_kind(leave))
      assert.equal("", async.timeout(10, client.read_all, client))
    end)
  end)

  it("cancels its handlers and waits for them", function()
    run(function()
      local cleaned, client = false
      do
        local server <close> = net.serve("127.0.0.1", 0, function()
          local _ <close> = helpers.defer(function()
            async.sleep(0)
            cleaned = true
          end)
          forever()
        end)
        client = net.connect(server:address())
        wait_until(function() return server:statistics().connections == 1 end)
      end
      assert.is_true(cleaned)
      assert.equal("", client:read_all())
      client:close()
    end)
  end)

  it("only cancels them where no wait is possible", function()
    run(function()
      local cancelled = 0
      local server = net.serve("127.0.0.1", 0, function()
        local ok = pcall(forever)
        cancelled = cancelled + (ok and 0 or 1)
      end)
      local _, port = server:address()
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      async.call_soon(function()
        local _ <close> = server
      end)
      wait_until(function() return cancelled == 1 end)
      assert.is_true(server:is_closing())
      assert.is_nil(client:read())
    end)
  end)
end)

describe("A server that nobody holds", function()
  it("goes on serving", function()
    run(function()
      local _, port = net.serve("127.0.0.1", 0, echo):address()
      helpers.collect_garbage()
      assert.equal("x", ask(port, "x"))
      helpers.collect_garbage()
      assert.equal("y", ask(port, "y"))
    end)
  end)

  it("is closed by the end of the run", function()
    local server = run(function() return net.serve("127.0.0.1", 0, echo) end)
    assert.is_true(server:is_closing())
    server:close()
    assert.matches("^<Server 127%.0%.0%.1:%d+ closed connections=0>$", tostring(server))
  end)
end)

describe("A server while the run ends", function()
  it("takes no further connections", function()
    local handled = 0
    run(function()
      local server = net.serve("127.0.0.1", 0, function() handled = handled + 1 end)
      local host, port = server:address()
      async.create_task(function()
        local _ <close> = helpers.defer(function()
          net.connect(host, port):write("too late")
          async.sleep(0.01)
        end)
        forever()
      end)
      settle()
    end)
    assert.equal(0, handled)
  end)
end)

describe("Running out of descriptors", function()
  it("pauses accepting, is reported once, and drops nobody", function()
    if not support.descriptors() or not os.execute("command -v prlimit >/dev/null 2>&1") then
      return pending("needs /proc and prlimit")
    end
    local output = helpers.child_output([[
      local net = require "luawait.net"
      local stat = io.open("/proc/self/stat")
      local pid = stat:read("n")
      stat:close()
      local reports, answers = {}, 0
      async.run(function()
        async.set_exception_handler(function(info) reports[#reports + 1] = info end)
        local server <close> = net.serve("127.0.0.1", 0, function(stream) stream:write(stream:read()) end)
        local clients, files = {}, {}
        for i = 1, 5 do clients[i] = net.connect(server:address()) end
        async.sleep(0.05)
        os.execute(("prlimit --pid %d --nofile=40:"):format(pid))
        repeat
          local file = io.open("/dev/null")
          files[#files + 1] = file
        until not file
        for _ = 1, 2 do table.remove(files):close() end -- for the client, and for accepting it
        local late = async.create_task(function() return net.connect(server:address()) end)
        async.sleep(0.35)
        local before = os.clock()
        async.sleep(0.2)
        print("spins", os.clock() - before > 0.1)
        print("accepted", server:statistics().accepted)
        for i = 1, 5 do clients[i]:write("x") end
        for i = 1, 5 do clients[i]:read_all() clients[i]:close() end
        for i = 1, #files do files[i]:close() end
        local client = async.await(late)
        client:write("late answer")
        print(client:read_all())
        client:close()
      end)
      for _, report in ipairs(reports) do print(report.message, report.error) end
    ]])
    assert.matches("spins\tfalse\naccepted\t5\nlate answer\n", output)
    local _, count = output:gsub("cannot accept connections", "")
    assert.equal(1, count, output)
    assert.matches("EMFILE", output)
  end)

  it("closes the server when accept goes on failing", function()
    if not support.descriptors() or not os.execute("command -v prlimit >/dev/null 2>&1") then
      return pending("needs /proc and prlimit")
    end
    if tonumber(core.libuv:match("^1%.(%d+)")) >= 45 then
      return pending("libuv 1.45 and later do not tell of it")
    end
    local output = helpers.child_output([[
      local net, system = require "luawait.net", require "spec.support.system"
      async.run(function()
        async.set_exception_handler(function(info) print((info.message:gsub(":%d+", "")), info.error.code) end)
        local server <close> = net.serve("127.0.0.1", 0, function() end)
        -- It connects when it is told to, and gives the descriptors back when the connection is gone.
        local client = io.popen(([=[
          read port
          ${LUAWAIT_PYTHON:-python3} 2>/dev/null -c '
        import socket, sys
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))).recv(1)' $port
          prlimit --pid %d --nofile=100:]=]):gsub("\n        ", "\n"):format(system.pid), "w")
        -- Neither accept nor what libuv does where it has no descriptor finds one.
        os.execute(("prlimit --pid %d --nofile=0:"):format(system.pid))
        client:write(select(2, server:address()), "\n")
        client:flush()
        server:serve_forever()
        client:close()
        print(server:is_closing(), server:statistics().accepted)
      end)]])
    assert.equal("<Server 127.0.0.1 serving connections=0> cannot accept connections\tEMFILE\ntrue\t0\n", output)
  end)
end)

describe("serve, short of memory,", function()
  it("leaves no listener behind", function()
    local made, failed = 0, 0
    for n = 1, 60 do
      testing.run(function()
        local ok, server = helpers.pcall_failing(n, net.serve, "127.0.0.1", 0, print)
        if ok then server:close() end
        if ok then made = made + 1 else failed = failed + 1 end
        helpers.collect_garbage()
      end)
    end
    assert.is_true(made > 0 and failed > 0)
  end)
end)

describe("A connection that cannot be handed over", function()
  it("is closed at once, and reported", function()
    local reports, ok, data = helpers.collect(function()
      local listener = core.net.listen("127.0.0.1", 0, 1, false, function() error("no room", 0) end)
      local _ <close> = helpers.defer(function() listener:close() end)
      local _, port = listener:address()
      collectgarbage("stop")
      local _ <close> = helpers.defer(function() collectgarbage("restart") end)
      local client <close> = net.connect("127.0.0.1", port)
      return async.timeout(20, client.read, client)
    end)
    assert.is_true(ok, data)
    assert.is_nil(data)
    assert.equal("no room", reports[1].error)
  end)
end)
