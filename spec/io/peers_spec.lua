-- Peers that do not behave: a server stays up, serves the others, and gets rid of them.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind = helpers.failure, helpers.failure_kind
local run, settle = helpers.run, helpers.settle
local run_server, wait_until = support.run_server, support.wait_until

local MUCH = 16 * 1024 * 1024

local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

--- Does the server still answer others?
local function assert_alive(port)
  local client <close> = net.connect("127.0.0.1", port)
  client:write("alive?\n")
  assert.equal("alive?", client:read_line())
end

--- Starts a program that connects to the port, writes `text`, and then never does anything. Returns its process id.
local function start_peer(port, text)
  local path, ready = os.tmpname(), os.tmpname()
  helpers.write_file(path, ([[
    local async, net = require "luawait", require "luawait.net"
    async.run(function()
      local stream = net.connect("127.0.0.1", %d)
      stream:write(%q)
      stream:flush()
      async.sleep(60)
    end)
  ]]):format(port, text))
  os.execute(("'%s' %s >/dev/null 2>&1 & echo $! >%s"):format(os.getenv("LUA") or "lua5.4", path, ready))
  local pid = helpers.read_file(ready):match("%d+")
  return pid, helpers.defer(function()
    os.execute("kill -9 " .. pid .. " 2>/dev/null")
    os.remove(path)
    os.remove(ready)
  end)
end

describe("A peer that is killed", function()
  it("ends its connection", function()
    local got = {}
    run_server(function(stream)
      got[#got + 1] = stream:read_line()
      local ok, data = pcall(stream.read, stream)
      got[#got + 1] = ok and tostring(data) or data.code
    end, function(port, server)
      local pid, cleanup = start_peer(port, "hello\n")
      local _ <close> = cleanup
      wait_until(function() return got[1] end)
      os.execute("kill -9 " .. pid)
      wait_until(function() return server:statistics().connections == 0 end)
      assert.equal("hello", got[1])
      assert.is_true(got[2] == "nil" or got[2] == "ECONNRESET", got[2])
    end)
  end)
end)

describe("A peer that is stopped", function()
  it("is got rid of by a deadline, and holds up nobody", function()
    local stopped, ended = async.Event(), nil
    run_server(function(stream)
      if stream:read_line() ~= "stop me" then return stream:write("alive?\n") end
      stopped:wait()
      ended = failure_kind(async.timeout, 0.1, stream.write, stream, ("x"):rep(MUCH))
      stream:abort()
    end, function(port, server)
      local pid, cleanup = start_peer(port, "stop me\n")
      local _ <close> = cleanup
      wait_until(function() return stopped:statistics().waiters == 1 end)
      os.execute("kill -STOP " .. pid)
      stopped:set()
      assert_alive(port)
      wait_until(function() return ended end)
      assert.equal("TimeoutError", ended)
      wait_until(function() return server:statistics().connections == 0 end)
    end)
  end)
end)

describe("A peer that sends nothing", function()
  it("is got rid of by a deadline", function()
    local kinds = {}
    run_server(function(stream)
      kinds[#kinds + 1] = failure_kind(async.timeout, 0.05, stream.read, stream)
    end, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      assert.equal("", client:read_all())
      assert.same({ "TimeoutError" }, kinds)
      wait_until(function() return server:statistics().connections == 0 end)
    end)
  end)

  it("does not hold up the end of the server", function()
    run_server(echo, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      server:shutdown(0.01)
      assert.equal("", client:read_all())
    end)
  end)

  it("is probed with keepalive", function()
    local table_of_connections = io.open("/proc/net/tcp")
    local text = table_of_connections and table_of_connections:read("a") or ""
    if table_of_connections then table_of_connections:close() end
    if not text:find(" tr tm", 1, true) then return pending("needs Linux's /proc/net/tcp") end
    support.run_pair(function(client)
      local _, port = client:sockname()
      local _, peer_port = client:peername()
      local line = ("\n *%%d+: 0100007F:%04X 0100007F:%04X %%x+ %%x+:%%x+ (%%x+):"):format(port, peer_port)
      local function timer()
        return helpers.read_file("/proc/net/tcp"):match(line)
      end
      wait_until(function() return timer() == "00" end)
      client:set_keepalive(true, 30)
      assert.equal("02", timer())
      client:set_keepalive(false)
      assert.equal("00", timer())
    end)
  end)
end)

describe("A peer that sends one byte at a time", function()
  it("is understood, and holds up nobody", function()
    run_server(echo, function(port)
      local client <close> = net.connect("127.0.0.1", port)
      local text = support.noise(300):gsub("\n", " ")
      for byte in text:gmatch(".") do
        client:write(byte)
        async.sleep(0)
      end
      assert_alive(port)
      client:write("\r")
      async.sleep(0)
      client:write("\n")
      assert.equal(text, client:read_line())
    end)
  end)
end)

describe("A peer that never reads", function()
  it("makes only its own handler wait, until a deadline", function()
    local waiting, ended
    run_server(function(stream)
      if stream:read_line() == "much" then
        waiting = true
        ended = failure_kind(async.timeout, 0.1, stream.write, stream, ("x"):rep(MUCH))
        stream:abort()
      else
        stream:write("alive?\n")
      end
    end, function(port)
      local client <close> = net.connect("127.0.0.1", port)
      client:write("much\n")
      wait_until(function() return waiting end)
      assert_alive(port)
      wait_until(function() return ended end)
      assert.equal("TimeoutError", ended)
    end)
  end)

  it("does not hold up the end of the server", function()
    local reports = run_server(function(stream) stream:write(("x"):rep(MUCH)) end, function(port, server)
      local client <close> = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      settle()
      server:shutdown(0.01)
      assert.equal(0, server:statistics().connections)
      assert.is_false(client:is_closing())
    end)
    assert.same({}, reports)
  end)
end)

describe("Peers that reset", function()
  it("at once, a hundred of them, are of no consequence to others", function()
    local reports = run_server(echo, function(port, server)
      for _ = 1, 100 do net.connect("127.0.0.1", port):abort() end
      assert_alive(port)
      wait_until(function() return server:statistics().connections == 0 end)
    end)
    for _, report in ipairs(reports) do assert.equal("ECONNRESET", report.error.code) end
  end)

  it("while they wait to be accepted are dropped", function()
    local reports = run_server(echo, function(port, server)
      local first = net.connect("127.0.0.1", port)
      wait_until(function() return server:statistics().connections == 1 end)
      for _ = 1, 10 do net.connect("127.0.0.1", port):abort() end
      first:close()
      assert_alive(port)
    end, { max_connections = 1 })
    for _, report in ipairs(reports) do assert.equal("ECONNRESET", report.error.code) end
  end)

  it("in the midst of a write are an error of that handler", function()
    local code
    run_server(function(stream) code = failure(stream.write, stream, ("x"):rep(MUCH)).code end, function(port)
      local client = net.connect("127.0.0.1", port)
      client:read()
      client:abort()
      wait_until(function() return code end)
      assert.is_true(code == "ECONNRESET" or code == "EPIPE", code)
    end)
  end)
end)

describe("A peer that ends its side", function()
  it("still gets its answer", function()
    run_server(function(stream)
      local text = stream:read_all()
      async.sleep(0)
      stream:write(#text, " bytes")
    end, function(port)
      local client <close> = net.connect("127.0.0.1", port)
      client:write(("x"):rep(1000000))
      client:shutdown()
      assert.equal("1000000 bytes", client:read_all())
    end)
  end)
end)

describe("A hundred peers of all kinds at once", function()
  it("leave a server that serves", function()
    local before = support.descriptors()
    local reports = run_server(function(stream)
      async.timeout(5, function()
        for line in stream:lines(1000) do stream:write(line, "\n") end
      end)
    end, function(port, server)
      local kinds = {
        function(stream) stream:abort() end,
        function(stream) stream:close() end,
        function(stream) stream:write("half a line") stream:close() end,
        function(stream) stream:write(("x"):rep(5000)) pcall(stream.read_all, stream) stream:close() end,
        function(stream) stream:write(("y\n"):rep(100000)) stream:abort() end,
        function(stream)
          stream:write("good\n")
          assert.equal("good", stream:read_line())
          stream:close()
        end,
      }
      local aborted = 0
      async.task_group(function(group)
        for i = 1, 100 do
          local kind = i % #kinds + 1
          if kind == 1 or kind == 5 then aborted = aborted + 1 end
          group:create_task(function() kinds[kind](net.connect("127.0.0.1", port)) end)
        end
      end)
      assert_alive(port)
      wait_until(function() return server:statistics().connections == 0 end)
      local accepted = server:statistics().accepted -- without those that were gone before their turn
      assert.is_true(accepted >= 101 - aborted and accepted <= 101, accepted)
    end)
    for _, report in ipairs(reports) do
      local code = report.error.code or report.error.name
      assert.is_true(code == "ECONNRESET" or code == "EPIPE" or code == "LimitOverrunError", tostring(report.error))
    end
    run(settle)
    assert.equal(before, support.descriptors())
  end)
end)
