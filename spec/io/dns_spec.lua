local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run = helpers.run

describe("net.resolve", function()
  it("finds localhost", function()
    run(function()
      local addresses = net.resolve("localhost", 80)
      assert.is_true(#addresses >= 1)
      for _, entry in ipairs(addresses) do
        assert.equal(80, entry.port)
        assert.equal(entry.family == "inet" and "127.0.0.1" or "::1", entry.address)
      end
    end)
  end)

  it("finds the names of /etc/hosts, without a network", function()
    local checked = 0
    for line in helpers.read_file("/etc/hosts"):gmatch("[^\n]+") do
      local address, names = line:match("^%s*(127[%d.]+)%s+([^#]+)")
      for name in (names or ""):gmatch("%S+") do
        run(function()
          local found = false
          for _, entry in ipairs(net.resolve(name, 80)) do
            assert.equal(80, entry.port)
            if entry.address == address then
              found = true
              assert.equal("inet", entry.family)
            end
          end
          assert.is_true(found, name .. " has the address " .. address)
        end)
        checked = checked + 1
      end
    end
    assert.is_true(checked > 0, "/etc/hosts names no loopback address")
  end)

  it("gives an address, its family and the port, and nothing else", function()
    run(function()
      for _, host in ipairs({ "localhost", "127.0.0.1", "::1" }) do
        for _, entry in ipairs(net.resolve(host, 443)) do
          local keys = {}
          for key in pairs(entry) do keys[#keys + 1] = key end
          table.sort(keys)
          assert.same({ "address", "family", "port" }, keys)
          assert.equal(entry.address:find(":", 1, true) and "inet6" or "inet", entry.family)
          assert.equal(443, entry.port)
        end
      end
    end)
  end)

  it("restricts the family", function()
    run(function()
      local addresses = net.resolve("localhost", nil, { family = "inet" })
      assert.same({ { address = "127.0.0.1", family = "inet", port = 0 } }, addresses)
      assert.same({ { address = "::1", family = "inet6", port = 0 } }, net.resolve("::1", nil, { family = "inet6" }))
      for address, family in pairs({ ["::1"] = "inet", ["127.0.0.1"] = "inet6" }) do
        assert.equal("OSError", failure_kind(net.resolve, address, nil, { family = family }))
      end
    end)
  end)

  it("takes the name of a service", function()
    run(function()
      local ok, addresses = pcall(net.resolve, "127.0.0.1", "http")
      if not ok then return assert.equal("EAI_SERVICE", addresses.code) end -- a machine without /etc/services
      assert.equal(80, addresses[1].port)
    end)
  end)

  it("does not wait for numeric addresses", function()
    run(function()
      local answered = async.Future()
      async.call_soon(function() -- where nothing can wait
        answered:set_result { net.resolve("127.0.0.1", 80), net.resolve("::1"), net.resolve("10.1.2.3", 65535) }
      end)
      assert.same({
        { { address = "127.0.0.1", family = "inet", port = 80 } },
        { { address = "::1", family = "inet6", port = 0 } },
        { { address = "10.1.2.3", family = "inet", port = 65535 } },
      }, async.await(answered))
    end)
  end)

  it("does not block the loop", function()
    run(function()
      local order = helpers.log()
      local task = async.create_task(function()
        pcall(net.resolve, "no-such-host.invalid")
        order("resolved")
      end)
      async.sleep(0)
      order("meanwhile")
      async.await(task)
      assert.equal("meanwhile resolved", tostring(order))
    end)
  end)

  it("raises OSError for an unknown name", function()
    run(function()
      local err = failure(net.resolve, "no-such-host.invalid")
      assert.equal("OSError", err.name)
      assert.matches("^EAI_", err.code)
      assert.equal("getaddrinfo", err.syscall)
      assert.equal("no-such-host.invalid", err.address)
      assert.matches("^getaddrinfo no%-such%-host%.invalid: .* %(EAI_", err.message)
    end)
  end)

  it("raises OSError for what can be no name", function()
    run(function()
      assert.equal("OSError", failure_kind(net.resolve, ("x"):rep(1000)))
      assert.equal("OSError", failure_kind(net.resolve, ""))
      assert.equal("OSError", failure_kind(net.resolve, "\xff\xfe"))
      assert.equal("OSError", failure_kind(net.resolve, "localhost", "no-such-service"))
    end)
  end)

  it("can be cancelled, whether it has begun or not", function()
    run(function()
      local tasks = {}
      for i = 1, 20 do -- more than there are threads for them
        tasks[i] = async.create_task(function() return net.resolve("localhost") end)
      end
      async.sleep(0)
      assert.equal("the look-up of localhost", tasks[1]:waiting_on())
      for i = 1, 20 do tasks[i]:cancel() end
      for i = 1, 20 do assert.equal("CancelledError", failure_kind(async.await, tasks[i])) end
      helpers.collect_garbage()
      assert.is_true(#net.resolve("localhost") >= 1)
    end)
  end)

  it("may be left alone by the end of the run", function()
    run(function()
      async.create_task(function() net.resolve("no-such-host.invalid") end)
      async.sleep(0)
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      local calls = {
        { "bad argument #1 to '.*' %(string expected, got nil%)", nil },
        { "bad argument #1 .*string without zeros expected", "local\0host" },
        { "bad argument #2 .*port from 0 to 65535 expected, got 65536", "localhost", 65536 },
        { "bad argument #2 .*port from 0 to 65535 expected, got 99999", "localhost", "99999" },
        { "bad argument #2 .*number expected, got table", "localhost", {} },
        { "bad argument #2 .*string without zeros expected", "localhost", "a\0b" },
        { "bad argument #3 .*table expected, got number", "localhost", 80, 1 },
        { 'bad argument #3 .*option \'family\': "inet" or "inet6" expected, got "x"', "localhost", 80,
          { family = "x" } },
        { "bad argument #3 .*option 'family'", "localhost", 80, { family = "inet\0" } },
        { "bad argument #3 .*option 'family': string expected, got number", "localhost", 80, { family = 4 } },
      }
      for _, call in ipairs(calls) do
        assert.matches(call[1], failure_text(net.resolve, table.unpack(call, 2, 4)))
      end
    end)
  end)

  it("is refused outside a task", function()
    assert.matches("RuntimeError: .*outside a task", failure_text(net.resolve, "localhost"))
  end)
end)

describe("net.reverse", function()
  it("finds the name of an address", function()
    run(function()
      local ok, name = pcall(net.reverse, "127.0.0.1")
      if not ok then return assert.equal("EAI_NONAME", name.code) end -- a machine without /etc/hosts
      assert.equal("string", type(name))
      assert.is_true(#name > 0)
    end)
  end)

  it("can be cancelled", function()
    run(function()
      local task = async.create_task(function() return net.reverse("127.0.0.1") end)
      async.sleep(0)
      task:cancel()
      assert.equal("CancelledError", failure_kind(async.await, task))
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      assert.matches("numeric address expected, got 'localhost'", failure_text(net.reverse, "localhost"))
      assert.matches("string expected", failure_text(net.reverse))
    end)
  end)
end)
