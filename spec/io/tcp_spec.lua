local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.run, helpers.settle
local run_server, wait_until = support.run_server, support.wait_until

local function greet(stream) stream:write("hello") end

--- A port of this machine on which nobody listens.
local function free_port()
  local server = net.serve("127.0.0.1", 0, greet)
  local _, port = server:address()
  server:close()
  return port
end

--- A listener that answers no further connection, since its backlog is full; the connections in it, and how the last
-- one failed. Nothing where there is no such address.
local function silent_listener(address)
  local core = require "luawait.core"
  local ok, listener = pcall(core.net.listen, address, 0, 1, false, function() end)
  if not ok then return nil end
  listener:pause()
  local _, port = listener:address()
  local streams = {}
  for _ = 1, 20 do
    local done, got = pcall(net.connect, address, port, { timeout = 0.1 })
    if not done then return listener, streams, got, port end
    streams[#streams + 1] = got
  end
  return listener, streams, nil, port
end

describe("net.connect", function()
  it("connects to an address", function()
    run_server(greet, function(port)
      local stream <close> = net.connect("127.0.0.1", port)
      assert.same({ "127.0.0.1", port }, { stream:peername() })
      assert.equal("hello", stream:read_all())
    end)
  end)

  it("connects to a name", function()
    run_server(greet, function(port)
      local stream <close> = net.connect("localhost", port)
      assert.equal("hello", stream:read_all())
    end)
  end)

  it("connects to IPv6 addresses", function()
    run(function()
      local ok, server = pcall(net.serve, "::1", 0, greet)
      if not ok then return end -- a machine without IPv6
      local host, port = server:address()
      assert.equal("::1", host)
      assert.matches("^<Server %[::1%]:%d+ serving", tostring(server))
      local stream <close> = net.connect("::1", port)
      assert.matches("^<Stream tcp %[::1%]:%d+ %-> %[::1%]:%d+ open>$", tostring(stream))
      assert.equal("hello", stream:read_all())
      server:close()
    end)
  end)

  it("takes a port that is a float without a fraction", function()
    run_server(greet, function(port)
      local stream <close> = net.connect("127.0.0.1", port + 0.0)
      assert.equal("hello", stream:read_all())
    end)
  end)

  it("connects from a local address", function()
    run_server(greet, function(port)
      local stream <close> = net.connect("127.0.0.1", port, { local_address = "127.0.0.1" })
      assert.equal("127.0.0.1", (stream:sockname()))
      assert.equal("EADDRNOTAVAIL", failure(net.connect, "127.0.0.1", port, { local_address = "192.0.2.1" }).code)
    end)
  end)

  it("raises OSError when it is refused", function()
    run(function()
      local port = free_port()
      local err = failure(net.connect, "127.0.0.1", port)
      assert.equal("OSError", err.name)
      assert.equal("ECONNREFUSED", err.code)
      assert.equal("connect", err.syscall)
      assert.equal("127.0.0.1:" .. port, err.address)
      assert.equal(("connect 127.0.0.1:%d: connection refused (ECONNREFUSED)"):format(port), err.message)
    end)
  end)

  it("names host and port when a name was refused", function()
    run(function()
      local port = free_port()
      local err = failure(net.connect, "localhost", port)
      assert.equal("ECONNREFUSED", err.code)
      assert.matches("^connect localhost %(.*:" .. port .. "%): ", err.message)
      assert.matches(":" .. port .. "$", err.address)
    end)
  end)

  it("raises OSError for a name that is unknown", function()
    run(function()
      local err = failure(net.connect, "no-such-host.invalid", 80)
      assert.equal("OSError", err.name)
      assert.equal("getaddrinfo", err.syscall)
      assert.equal("no-such-host.invalid", err.address)
      assert.matches("no%-such%-host%.invalid", err.message)
    end)
  end)

  it("raises OSError for an address that cannot be reached", function()
    run(function()
      local err = failure(net.connect, "255.255.255.255", 9)
      assert.equal("OSError", err.name)
      assert.equal("connect", err.syscall)
    end)
  end)

  it("can be cancelled, and leaves nothing behind", function()
    run_server(greet, function(port, server)
      for _ = 1, 20 do
        local task = async.create_task(function() return net.connect("127.0.0.1", port) end)
        async.sleep(0)
        assert.matches("^a connection to 127%.0%.0%.1:%d+$", task:waiting_on())
        task:cancel()
        assert.equal("CancelledError", failure_kind(async.await, task))
      end
      settle()
      wait_until(function() return server:statistics().connections == 0 end)
    end)
  end)

  it("gives up after opts.timeout", function()
    run(function()
      local listener, streams, err = silent_listener("127.0.0.1")
      assert.equal("TimeoutError", helpers.kind(err))
      for _, stream in ipairs(streams) do stream:close() end
      listener:close()
    end)
  end)

  --- Runs fn(name, tried) where `name` has these addresses, in this order; `tried` gets those that are tried.
  local function with_addresses(addresses, fn)
    local core = require "luawait.core"
    local resolve, connect, tried = core.net.resolve, core.net.connect, {}
    local _ <close> = helpers.defer(function() core.net.resolve, core.net.connect = resolve, connect end)
    core.net.connect = function(address, ...)
      tried[#tried + 1] = address
      return connect(address, ...)
    end
    core.net.resolve = function(host, port, opts)
      if host ~= "both.example" then return resolve(host, port, opts) end
      local list = {}
      for i, address in ipairs(addresses) do
        list[i] = { address = address, family = address:find(":", 1, true) and "inet6" or "inet", port = port }
      end
      return list
    end
    return fn("both.example", tried)
  end

  --- A server on ::1, or nil on a machine without IPv6, and its port.
  local function serve_ipv6(handler, opts)
    local ok, server = pcall(net.serve, "::1", 0, handler, opts)
    if ok then return server, select(2, server:address()) end
  end

  it("takes the other family at once where the first one is refused", function()
    run_server(function(stream) stream:write("four") end, function(port)
      with_addresses({ "::1", "127.0.0.1" }, function(name)
        local stream <close> = net.connect(name, port)
        assert.equal("four", stream:read_all())
      end)
    end)
    run(function()
      local server, port = serve_ipv6(function(stream) stream:write("six") end)
      if not server then return pending("needs IPv6") end
      with_addresses({ "127.0.0.1", "::1" }, function(name)
        local stream <close> = net.connect(name, port)
        assert.equal("six", stream:read_all())
      end)
      server:close()
    end)
  end)

  it("tries the other family beside one that does not answer, alternating", function()
    run(function()
      local silent, fillers, _, port = silent_listener("::1")
      if not silent then return pending("needs IPv6") end
      local server <close> = net.serve("127.0.0.1", port, function(stream) stream:write("four") end)
      with_addresses({ "::1", "::1", "127.0.0.1" }, function(name, tried)
        local before = async.time()
        local stream <close> = net.connect(name, port, { timeout = 20 })
        assert.is_true(async.time() - before >= 0.24)
        assert.equal("four", stream:read_all())
        assert.equal("127.0.0.1", (stream:peername()))
        assert.same({ "::1", "127.0.0.1" }, { tried[1], tried[2] })
      end)
      for _, stream in ipairs(fillers) do stream:close() end
      silent:close()
      assert.is_false(server:is_closing())
    end)
  end)

  it("keeps to the family of local_address", function()
    run_server(function(stream) stream:write("four") end, function(port)
      local stream <close> = net.connect("localhost", port, { local_address = "127.0.0.1" })
      assert.equal("127.0.0.1", (stream:sockname()))
      assert.equal("four", stream:read_all())
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      local calls = {
        { "bad argument #1 to 'connect' %(string expected, got nil%)", nil, 80 },
        { "bad argument #1 to 'connect' %(string without zeros expected%)", "a\0b", 80 },
        { "bad argument #2 to 'connect' %(port number expected, got string%)", "127.0.0.1", "80" },
        { "bad argument #2 to 'connect' %(port number expected, got number%)", "127.0.0.1", 1.5 },
        { "bad argument #2 to 'connect' %(port from 0 to 65535 expected, got %-1%)", "127.0.0.1", -1 },
        { "bad argument #3 to 'connect' %(table expected, got string%)", "127.0.0.1", 80, "x" },
        { "bad argument #3 .*option 'timeout': number expected, got string", "127.0.0.1", 80, { timeout = "1" } },
        { "option 'local_address': numeric address expected, got 'x'", "127.0.0.1", 80, { local_address = "x" } },
        { "option 'local_address': numeric address expected", "127.0.0.1", 80, { local_address = "127.0.0.1\0" } },
      }
      for _, call in ipairs(calls) do
        assert.matches(call[1], failure_text(net.connect, table.unpack(call, 2, 4)))
      end
      assert.same({}, require("luawait.core").testing.handles())
    end)
  end)

  it("is refused outside a task", function()
    run(function()
      local said = async.Future()
      async.call_soon(function() said:set_result(failure_text(net.connect, "127.0.0.1", 80)) end)
      assert.matches("RuntimeError: connect outside a task", async.await(said))
    end)
    assert.matches("RuntimeError: connect outside a task", failure_text(net.connect, "127.0.0.1", 80))
  end)
end)

describe("Connections", function()
  it("leave no descriptor behind", function()
    if not support.descriptors() then return pending("needs /proc") end
    local function exercise()
      run_server(function(stream)
        local line = stream:read_line()
        if line == "fail" then error("on purpose") end
        if line then stream:write(line) end
      end, function(port)
        for _, word in ipairs({ "hello", "fail" }) do
          local stream <close> = net.connect("localhost", port)
          stream:write(word, "\n")
          stream:read_all()
        end
        local cancelled = async.create_task(function() net.connect("127.0.0.1", port) end)
        async.sleep(0)
        cancelled:cancel()
        net.connect("127.0.0.1", port) -- dropped
        local reader = net.connect("127.0.0.1", port)
        async.create_task(function() reader:read() end)
        pcall(net.connect, "127.0.0.1", 1)
        pcall(net.resolve, "no-such-host.invalid")
        settle()
      end)
    end
    local function count()
      exercise()
      helpers.collect_garbage() -- what earlier specs left
      return support.descriptors()
    end
    count()
    local before = count()
    for _ = 1, 3 do assert.equal(before, count()) end
  end)

  it("by the thousand come and go", function()
    local count = helpers.scale(1000)
    local reports = run_server(function(stream) stream:write(stream:read_line(), "\n") end, function(port, server)
      local tasks = {}
      for i = 1, count do
        tasks[i] = async.create_task(function()
          local stream <close> = net.connect("127.0.0.1", port)
          stream:write(i, "\n")
          return stream:read_line()
        end)
      end
      for i = 1, count do assert.equal(tostring(i), async.await(tasks[i])) end
      wait_until(function() return server:statistics().connections == 0 end)
      assert.equal(count, server:statistics().accepted)
    end)
    assert.same({}, reports)
  end)
end)

describe("A Lua state that is closed", function()
  local endings = {
    ["with a reader and a writer"] = [[
      async.create_task(function() client:read() end)
      async.create_task(function() client:write(("x"):rep(16 * 1024 * 1024)) end)
    ]],
    ["with a connection on its way"] = [[
      async.create_task(function() net.connect("127.0.0.1", port) end)
    ]],
    ["with a name being looked up"] = [[
      for i = 1, 10 do async.create_task(function() net.resolve("localhost") end) end
    ]],
    ["with data that was not read"] = [[
      client:write("hello")
      async.create_task(function() client:read_exactly(100) end)
      async.sleep(0.01)
    ]],
    ["with a stream that is being closed"] = [[
      async.call_soon(function()
        client:write(("x"):rep(16 * 1024 * 1024))
        client:close()
      end)
    ]],
  }
  for name, ending in pairs(endings) do
    it(name .. " ends well", function()
      local output = helpers.child_output(([[
        local net = require "luawait.net"
        async.run(function()
          local server = net.serve("127.0.0.1", 0, function(stream) stream:write("x") async.sleep(math.huge) end)
          local _, port = server:address()
          local client = net.connect("127.0.0.1", port)
          %s
          async.sleep(0)
          io.write("closing")
          io.stdout:flush()
          os.exit(0, true)
        end)
      ]]):format(ending))
      assert.equal("closing", output)
    end)
  end
end)
