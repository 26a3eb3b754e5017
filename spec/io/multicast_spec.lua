-- Datagrams to many: broadcast and multicast, on the loopback interface.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run = helpers.run

local linux = support.descriptors() ~= nil -- where there is /proc

describe("Broadcast", function()
  it("needs to be allowed", function()
    if not linux then return pending("Linux only") end
    run(function()
      local receiver <close> = net.udp { port = 0 }
      local _, port = receiver:sockname()
      local sender <close> = net.udp { host = "127.0.0.1" }
      assert.equal("EACCES", failure(sender.send, sender, "x", "127.255.255.255", port).code)
      sender:set_broadcast(true)
      sender:send("to all", "127.255.255.255", port)
      assert.equal("to all", (receiver:recv()))
      sender:set_broadcast(false)
      assert.equal("EACCES", failure(sender.send, sender, "x", "127.255.255.255", port).code)
      local other <close> = net.udp { host = "127.0.0.1", broadcast = true }
      other:send("too", "127.255.255.255", port)
      assert.equal("too", (receiver:recv()))
    end)
  end)
end)

describe("Multicast", function()
  local group = "239.255.77.7"

  --- A member of the group on the loopback interface; or nil where there is no multicast.
  local function member(port)
    local socket = net.udp { host = "0.0.0.0", port = port, reuseaddr = true }
    return pcall(socket.join, socket, group, "127.0.0.1") and socket or nil, select(2, socket:sockname())
  end

  local function sender()
    local socket = net.udp { host = "127.0.0.1" }
    socket:set_multicast_interface("127.0.0.1")
    return socket
  end

  it("reaches all members on the port, until they leave", function()
    run(function()
      local first <close>, port = member(0)
      if not first then return pending("no multicast here") end
      local second <close> = member(port)
      local from <close> = sender()
      from:send("to the group", group, port)
      assert.equal("to the group", (first:recv()))
      assert.equal("to the group", (second:recv()))
      second:leave(group, "127.0.0.1")
      from:send("to the one left", group, port)
      assert.equal("to the one left", (first:recv()))
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.02, second.recv, second))
      assert.equal("EADDRNOTAVAIL", failure(second.leave, second, group, "127.0.0.1").code)
    end)
  end)

  it("has options, which leave it working", function()
    run(function()
      local first <close>, port = member(0)
      if not first then return pending("no multicast here") end
      local from <close> = sender()
      from:set_multicast_loop(false)
      from:set_multicast_loop(true)
      from:set_multicast_ttl(0)
      from:set_multicast_ttl(4)
      from:set_ttl(7)
      from:send("for us", group, port)
      assert.equal("for us", (first:recv()))
      assert.equal("EADDRNOTAVAIL", failure(from.set_multicast_interface, from, "192.0.2.1").code)
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      local socket <close> = net.udp()
      for _, case in ipairs({
        { "hops from 0 to 255 expected, got 256", "set_multicast_ttl", 256 },
        { "hops from 1 to 255 expected, got 0", "set_ttl", 0 },
        { "boolean expected, got no value", "set_multicast_loop" },
        { "numeric address expected, got 'eth'", "set_multicast_interface", "eth" },
        { "numeric address expected, got 'all'", "join", "all" },
        { "numeric address expected, got 'lo'", "leave", group, "lo" },
        { "boolean expected, got number", "set_broadcast", 1 },
      }) do
        local err = failure_text(function() socket[case[2]](socket, table.unpack(case, 3)) end)
        assert.matches(case[1], err)
      end
      local err = failure(socket.join, socket, "127.0.0.1")
      assert.same({ "OSError", "setsockopt" }, { err.name, err.syscall })
    end)
  end)
end)
