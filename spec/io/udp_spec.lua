local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.run, helpers.settle

local linux = support.descriptors() ~= nil -- where there is /proc

--- A socket on a free port of the loopback interface, and that port.
local function bound(opts)
  local socket = net.udp(setmetatable({ host = "127.0.0.1" }, { __index = opts }))
  local _, port = socket:sockname()
  return socket, port
end

--- Runs fn(one, other): two sockets, of which `one` is connected to `other`.
local function run_pair(fn, opts)
  return run(function()
    local other <close>, port = bound(opts)
    local one <close> = net.udp { remote_host = "127.0.0.1", remote_port = port }
    return async.timeout(60, fn, one, other, port) -- what never comes is an error
  end)
end

--- A port of this machine on which nobody receives.
local function free_port()
  local socket <close>, port = bound()
  assert(socket)
  return port
end

describe("A datagram socket", function()
  it("sends to an address and receives from one", function()
    run(function()
      local a <close>, a_port = bound()
      local b <close>, b_port = bound()
      a:send("ping", "127.0.0.1", b_port)
      assert.same({ "ping", "127.0.0.1", a_port }, { b:recv() })
      b:send("pong", "127.0.0.1", a_port)
      assert.same({ "pong", "127.0.0.1", b_port }, { a:recv() })
    end)
  end)

  it("keeps the bounds of datagrams, also of empty ones", function()
    run_pair(function(one, other)
      for _, data in ipairs({ "a", "", "bc\0d" }) do one:send(data) end
      assert.equal("a", (other:recv()))
      assert.equal("", (other:recv()))
      assert.equal("bc\0d", (other:recv()))
    end)
  end)

  it("takes the largest datagrams, and refuses larger ones", function()
    run_pair(function(one, other, port)
      local text = support.noise(65507)
      one:send(text)
      assert.is_true(text == other:recv())
      for _, size in ipairs({ 65508, 70000 }) do
        local err = failure(one.send, one, ("x"):rep(size))
        assert.same({ "OSError", "EMSGSIZE", "send", "127.0.0.1:" .. port },
          { err.name, err.code, err.syscall, err.address })
      end
      one:send("goes on")
      assert.equal("goes on", (other:recv()))
    end)
  end)

  it("takes numbers as data", function()
    run_pair(function(one, other)
      one:send(12)
      assert.equal("12", (other:recv()))
    end)
  end)

  it("can use IPv6", function()
    run(function()
      local ok, a = pcall(net.udp, { host = "::1" })
      if not ok then return end -- a machine without IPv6
      local host, port = a:sockname()
      assert.equal("::1", host)
      local b <close> = net.udp { family = "inet6" }
      b:send("six", "::1", port)
      assert.same({ "six", "::1", select(2, b:sockname()) }, { a:recv() })
      assert.matches("^<DatagramSocket %[::1%]:%d+ open>$", tostring(a))
      a:close()
    end)
  end)

  it("answers to link-local IPv6 addresses, which have their interface in them", function()
    local digits, interface
    for line in helpers.read_file("/proc/net/if_inet6"):gmatch("[^\n]+") do
      local all, name = line:match("^(fe80%x+) .- (%S+)$")
      if all then digits, interface = all, name end
    end
    if not digits then return pending("no link-local address here") end
    local address = digits:gsub("%x%x%x%x", "%0:"):sub(1, -2) .. "%" .. interface
    run(function()
      local a <close> = net.udp { host = address }
      local b <close> = net.udp { host = address }
      local host, port = a:sockname()
      assert.matches("^fe80::.*%%" .. interface .. "$", host)
      b:send("near", host, port)
      assert.same({ "near", b:sockname() }, { a:recv() })
    end)
  end)

  it("is bound to a port on all interfaces where no address is given", function()
    run(function()
      local port = free_port()
      local socket <close> = net.udp { port = port }
      assert.same({ "0.0.0.0", port }, { socket:sockname() })
      assert.equal("EADDRINUSE", failure(net.udp, { port = port }).code)
    end)
  end)

  it("looks names up", function()
    run(function()
      local a <close> = net.udp { host = "localhost", family = "inet" }
      local _, port = a:sockname()
      local b <close> = net.udp { remote_host = "localhost", remote_port = port, family = "inet" }
      b:send("by name")
      assert.equal("by name", (a:recv()))
      assert.matches("^EAI_", failure(net.udp, { host = "no-such-host.invalid" }).code)
    end)
  end)

  it("tells its names", function()
    run_pair(function(one, other, port)
      assert.same({ "127.0.0.1", port }, { one:peername() })
      assert.same({}, { other:peername() })
      local _, here = one:sockname()
      assert.equal(("<DatagramSocket 127.0.0.1:%d -> 127.0.0.1:%d open>"):format(here, port), tostring(one))
      assert.equal(("<DatagramSocket 127.0.0.1:%d open>"):format(port), tostring(other))
      one:close()
      assert.equal("<DatagramSocket closed>", tostring(one))
      assert.is_true(one:is_closing())
      assert.same({ "127.0.0.1", port }, { one:peername() })
    end)
  end)

  it("counts", function()
    run_pair(function(one, other)
      for i = 1, 3 do one:send(i) end
      other:recv()
      local waiting = async.create_task(function() one:recv() end)
      settle()
      local batch = one:statistics().batch
      assert.same({ received = 0, sent = 3, buffered = 0, queued = 0, receivers = 1, senders = 0, batch = batch },
        one:statistics())
      assert.equal("a datagram", waiting:waiting_on())
      waiting:cancel()
      other:recv()
      other:recv()
      assert.same({ received = 3, sent = 0, buffered = 0, queued = 0, receivers = 0, senders = 0, batch = batch },
        other:statistics())
    end)
  end)
end)

describe("A connected datagram socket", function()
  it("receives from its peer alone", function()
    run_pair(function(one, other, port)
      local _, one_port = one:sockname()
      local stranger <close> = net.udp()
      stranger:send("from a stranger", "127.0.0.1", one_port)
      other:send("from the peer", "127.0.0.1", one_port)
      assert.same({ "from the peer", "127.0.0.1", port }, { one:recv() })
    end)
  end)

  it("raises OSError for another address, and an unconnected one without", function()
    run_pair(function(one, other, port)
      assert.equal("EISCONN", failure(one.send, one, "x", "127.0.0.1", port).code)
      local err = failure(other.send, other, "x")
      assert.same({ "EDESTADDRREQ", "send" }, { err.code, err.syscall })
      assert.is_nil(err.address)
    end)
  end)

  it("learns from recv that nobody is there, and goes on", function()
    if not linux then return pending("Linux only") end
    run(function()
      local port = free_port()
      local socket <close> = net.udp { remote_host = "127.0.0.1", remote_port = port }
      for _ = 1, 2 do
        local receiver = async.create_task(function() return socket:recv() end)
        settle()
        socket:send("anybody?")
        local err = failure(async.await, receiver)
        assert.same({ "OSError", "ECONNREFUSED", "recv", "127.0.0.1:" .. port },
          { err.name, err.code, err.syscall, err.address })
      end
      local late <close> = net.udp { host = "127.0.0.1", port = port }
      socket:send("now?")
      assert.equal("now?", (late:recv()))
    end)
  end)

  it("learns it from send otherwise", function()
    if not linux then return pending("Linux only") end
    run(function()
      local socket <close> = net.udp { remote_host = "127.0.0.1", remote_port = free_port() }
      socket:send("anybody?")
      assert.equal("ECONNREFUSED", failure(socket.send, socket, "anybody?").code)
    end)
  end)
end)

describe("DatagramSocket.recv", function()
  it("loses no datagram when it is cancelled", function()
    run_pair(function(one, other)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, other.recv, other))
      one:send("first")
      one:send("second")
      support.wait_until(function() return other:statistics().buffered == 2 end)
      assert.equal("first", (other:recv()))
      assert.equal("second", (other:recv()))
    end)
  end)

  it("loses none when it is cancelled after it was woken: the next task gets it", function()
    run_pair(function(one, other)
      local second
      local first = async.create_task(function()
        local data = other:recv()
        second:cancel()
        return data
      end)
      settle()
      second = async.create_task(function() return (other:recv()) end)
      settle()
      local third = async.create_task(function() return (other:recv()) end)
      settle()
      one:send("a")
      one:send("b")
      assert.equal("a", async.await(first))
      assert.equal("CancelledError", failure_kind(async.await, second))
      assert.equal("b", async.await(third))
    end)
  end)

  it("serves several tasks in turn", function()
    run_pair(function(one, other)
      local got, tasks = helpers.log(), {}
      for i = 1, 3 do
        tasks[i] = async.create_task(function() got(i .. other:recv()) end)
      end
      settle()
      for _, data in ipairs({ "a", "b", "c" }) do one:send(data) end
      async.wait(tasks)
      assert.equal("1a 2b 3c", tostring(got))
    end)
  end)

  it("does not give away what was promised to a task", function()
    run_pair(function(one, other)
      local greedy = async.create_task(function() return (other:recv()) .. other:recv() end)
      settle()
      local second = async.create_task(function() return (other:recv()) end)
      settle()
      one:send("a")
      one:send("b")
      assert.equal("b", async.await(second))
      assert.is_false(greedy:done())
      one:send("c")
      assert.equal("ac", async.await(greedy))
    end)
  end)

  it("receives many at once, in order", function()
    run_pair(function(one, other)
      if linux then assert.equal(16, other:statistics().batch) end
      local count = 200
      local receiver = async.create_task(function()
        local got = {}
        for i = 1, count do got[i] = other:recv() end
        return got
      end)
      settle()
      for i = 1, count do one:send(i) end
      local got = async.await(receiver)
      for i = 1, count do assert.equal(tostring(i), got[i]) end
    end)
  end)

  it("stops filling while nobody receives, and goes on after", function()
    run_pair(function(one, other)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, other.recv, other))
      local text = ("x"):rep(60000)
      for _ = 1, 20 do
        one:send(text)
        one:send(text)
        async.sleep(0.001)
      end
      local buffered = other:statistics().buffered
      assert.is_true(buffered >= 4 and buffered < 4 + 16, buffered)
      for _ = 1, buffered do assert.is_true(text == other:recv()) end
      for _ = 1, 3 do async.timeout(10, other.recv, other) end -- what waited in the system
    end)
  end)

  it("loses nothing of a batch in whose midst its buffer gets full", function()
    run_pair(function(one, other)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, other.recv, other))
      for batch = 1, 3 do -- of which the third passes 256 KiB with its second datagram
        for i = 1, 8 do one:send(("%d %d"):format(batch, i) .. ("x"):rep(15000)) end
        support.wait_until(function() return other:statistics().received >= 8 * batch - 6 end)
      end
      for batch = 1, 3 do
        for i = 1, 8 do assert.equal(("%d %d"):format(batch, i), (async.timeout(10, other.recv, other):sub(1, 3))) end
      end
    end)
  end)

  it("raises EMSGSIZE with what fits of a datagram that is longer than max_size", function()
    run_pair(function(one, other)
      one:send("short")
      one:send("much too long")
      one:send("123456")
      assert.equal("short", (other:recv()))
      local err = failure(other.recv, other)
      assert.same({ "OSError", "EMSGSIZE", "recv", "much t" }, { err.name, err.code, err.syscall, err.partial })
      local _, port = one:sockname()
      assert.equal("127.0.0.1:" .. port, err.address)
      assert.equal("123456", (other:recv()))
    end, { max_size = 6 })
  end)
end)

describe("DatagramSocket.send", function()
  it("lets others have their turn", function()
    run_pair(function(one)
      local turns = 0
      local other = async.create_task(function()
        while true do
          turns = turns + 1
          async.sleep(0)
        end
      end)
      for _ = 1, 2000 do one:send("x") end
      assert.is_true(turns >= 5)
      other:cancel()
    end)
  end)

  it("works in callbacks of the loop", function()
    run_pair(function(one, other)
      async.call_soon(one.send, one, "called")
      assert.equal("called", (other:recv()))
      async.call_soon(function()
        for _ = 1, 1000 do one:send("x") end -- where a task would let others have their turn
        one:send("last")
      end)
      async.sleep(0)
      assert.equal(1002, one:statistics().sent)
    end)
  end)

  it("works in a coroutine of the program's", function()
    run_pair(function(one, other)
      coroutine.wrap(function()
        for _ = 1, 1000 do one:send("x") end
      end)()
      assert.equal(1000, one:statistics().sent)
      assert.equal("x", (other:recv()))
    end)
  end)

  it("refuses bad arguments", function()
    run_pair(function(_, other, port)
      for text, arguments in pairs({
        ["#1 to 'send' %(string expected, got table"] = { {} },
        ["#2 to 'send' %(numeric address expected, got 'localhost'"] = { "x", "localhost", port },
        ["#3 to 'send' %(number expected, got no value"] = { "x", "127.0.0.1" },
        ["#3 to 'send' %(port from 0 to 65535 expected, got 70000"] = { "x", "127.0.0.1", 70000 },
      }) do
        local err = failure_text(function() other:send(table.unpack(arguments)) end)
        assert.matches("bad argument " .. text, err)
      end
    end)
  end)
end)

describe("DatagramSocket.send while the system takes no more", function()
  local faults = require "spec.support.faults"
  local built
  setup(function() built = faults.available() end)

  --- Runs a program in which nothing is sent at once, with `one` connected to `other`. Returns what it prints.
  local function busy(source)
    return helpers.child_output([[
      local net, faults = require "luawait.net", require "luawait.core".call_faults
      local function try(fn, ...) return select(2, pcall(fn, ...)) end
      async.run(function()
        local other <close> = net.udp { host = "127.0.0.1" }
        local one <close> = net.udp { remote_host = "127.0.0.1", remote_port = select(2, other:sockname()) }
        faults.busy(true)
    ]] .. source .. "end)", { env = { LUA_CPATH = faults.path } })
  end

  it("waits until it was sent, in order", function()
    if not built then return pending("no linker with --wrap") end
    assert.equal("waiting\t2 datagrams to be sent\n1 2 3\t0\n", busy([[
      local tasks = {}
      for i = 1, 2 do tasks[i] = async.create_task(function() one:send(i) end) end
      async.sleep(0)
      print(tasks[1]:state(), tasks[1]:waiting_on())
      one:send(3)
      print(table.concat({ (other:recv()), (other:recv()), (other:recv()) }, " "), one:statistics().queued)
      async.wait(tasks)
    ]]))
  end)

  it("sends what a cancelled one was given", function()
    if not built then return pending("no linker with --wrap") end
    assert.equal("cancelled\tall the same\n", busy([[
      local task = async.create_task(function() one:send("all the same") end)
      async.sleep(0)
      task:cancel()
      async.wait({ task })
      print(task:state(), (other:recv()))
    ]]))
  end)

  it("tells the next one what became of a cancelled one's, once", function()
    if not built then return pending("no linker with --wrap") end
    assert.equal("EPERM\tsend\t0\nsent\t1\n", busy([[
      local n, hit = 0, nil
      repeat
        n = n + 1
        faults.plan(n)
        local task = async.create_task(function() try(one.send, one, "x") end)
        async.sleep(0)
        task:cancel()
        async.wait({ task })
        repeat async.sleep(0) until one:statistics().queued == 0
        hit = faults.state().hit
        faults.plan(0)
      until hit == "uv_udp_send callback"
      local before = one:statistics().sent
      local err = try(one.send, one, "y")
      print(err.code, err.syscall, one:statistics().sent - before)
      print(try(one.send, one, "z") or "sent", one:statistics().sent - before)
    ]]))
  end)

  it("wakes who waits when it is closed", function()
    if not built then return pending("no linker with --wrap") end
    assert.equal("RuntimeError: datagram socket is closed\n", busy([[
      local task = async.create_task(function() one:send("x") end)
      async.sleep(0)
      one:close()
      print(try(async.await, task))
    ]]))
  end)

  it("raises what became of it", function()
    if not built then return pending("no linker with --wrap") end
    local said = busy([[
      for n = 1, 5 do -- memory, uv_udp_send, its callback, none
        faults.plan(n)
        local err = try(one.send, one, "x")
        faults.plan(0)
        print(err and err.code or "sent", err and err.syscall)
      end
    ]])
    assert.matches("^ENOMEM\tsend\nENOMEM\tsend\nEPERM\tsend\nsent\tnil\n", said)
  end)
end)

describe("DatagramSocket.recv", function()
  it("raises what failed, and goes on with the datagram that is still there", function()
    local faults = require "spec.support.faults"
    if not faults.available() then return pending("no linker with --wrap") end
    local said = faults.calls([[
      local net = require "luawait.net"
      local other <close> = net.udp { host = "127.0.0.1" }
      local one <close> = net.udp { remote_host = "127.0.0.1", remote_port = select(2, other:sockname()) }
      for _ = 1, 20 do one:send("x") end]], [[
      local ok, result = pcall(other.recv, other)
      io.write(ok and result or result.code, " ")
      if not ok then error(result) end]])
    assert.equal("ENOMEM uv_udp_recv_start\tOSError\nENOMEM malloc\tOSError\n" ..
      "ECONNREFUSED uv_udp_recv_start callback\tOSError\n", (said:match("^(.-callback\tOSError\n)")))
    assert.matches("x $", said)
  end)
end)

describe("DatagramSocket.close", function()
  it("leaves a task cancelled that is cancelled when it wakes it", function()
    run_pair(function(_, other)
      local task = async.create_task(function() return other:recv() end)
      async.sleep(0)
      other:close()
      task:cancel()
      async.wait({ task })
      assert.is_true(task:cancelled())
    end)
  end)

  it("wakes all who receive with RuntimeError", function()
    run_pair(function(_, other)
      local tasks = {}
      for i = 1, 3 do tasks[i] = async.create_task(function() return other:recv() end) end
      settle()
      other:close()
      other:close()
      for i = 1, 3 do
        assert.equal("RuntimeError: datagram socket is closed", failure_text(async.await, tasks[i]))
      end
      for _, method in ipairs({ "recv", "send", "sockname", "join" }) do
        assert.equal("RuntimeError: datagram socket is closed", failure_text(other[method], other, "x"))
      end
      assert.is_true(other:statistics().buffered == 0)
    end)
  end)

  it("drops what was not received, and frees the port", function()
    run_pair(function(one, other, port)
      pcall(async.timeout, 0.001, other.recv, other)
      one:send("lost")
      support.wait_until(function() return other:statistics().buffered == 1 end)
      other:close()
      assert.equal(0, other:statistics().buffered)
      local again <close> = net.udp { host = "127.0.0.1", port = port }
      assert.is_false(again:is_closing())
    end)
  end)

  it("comes with the end of a scope, and of the run", function()
    local kept
    run(function()
      local first
      do
        local socket <close> = bound()
        first = socket
      end
      assert.is_true(first:is_closing())
      kept = bound()
      async.create_task(function() kept:recv() end)
      settle()
    end)
    assert.is_true(kept:is_closing())
    assert.equal("<DatagramSocket closed>", tostring(kept))
  end)

  it("comes with the collector", function()
    run(function()
      local port = select(2, bound())
      helpers.collect_garbage()
      settle()
      local again <close> = net.udp { host = "127.0.0.1", port = port }
      assert.is_false(again:is_closing())
    end)
  end)
end)

describe("net.udp", function()
  it("refuses bad options", function()
    run(function()
      for text, opts in pairs({
        ["table expected, got number"] = 1,
        ["option 'host': string expected, got number"] = { host = 1 },
        ["option 'host': string without zeros expected"] = { host = "a\0b" },
        ["option 'port': port from 0 to 65535 expected, got 65536"] = { port = 65536 },
        ["option 'remote_port': number expected, got string"] = { remote_host = "::1", remote_port = "1" },
        ["options 'remote_host' and 'remote_port' go together"] = { remote_host = "::1" },
        ["option 'family': \"inet\" or \"inet6\" expected, got \"v6\""] = { family = "v6" },
        ["option 'max_size': positive integer expected, got 0"] = { max_size = 0 },
        ["option 'broadcast': boolean expected, got string"] = { broadcast = "yes" },
      }) do
        assert.matches("bad argument #1 to 'udp' (" .. text .. ")", failure_text(net.udp, opts), 1, true)
      end
    end)
  end)

  it("leaves nothing behind when it fails", function()
    local before = support.descriptors()
    if not before then return pending("needs /proc") end
    run(function()
      local socket <close>, port = bound()
      for _ = 1, 20 do
        assert.equal("EADDRINUSE", failure(net.udp, { host = "127.0.0.1", port = port }).code)
        assert.equal("EADDRNOTAVAIL", failure(net.udp, { host = "192.0.2.1" }).code)
      end
      assert.is_false(socket:is_closing())
    end)
    assert.equal(before, support.descriptors())
  end)

  it("needs a running loop", function()
    assert.equal("RuntimeError", failure_kind(net.udp))
  end)

  it("talks with socat", function()
    if not os.execute("command -v socat >/dev/null 2>&1") then return pending("needs socat") end
    run(function()
      local socket <close>, port = bound()
      os.execute(("printf 'from socat' | socat -t 1 - UDP4-SENDTO:127.0.0.1:%d &"):format(port))
      assert.equal("from socat", (async.timeout(20, socket.recv, socket)))
    end)
  end)
end)
