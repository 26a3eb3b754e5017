local async = require "luawait"
local helpers = require "spec.support.helpers"
local std = require "luawait.std"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local settle = helpers.settle
local run_pair, wait_until = support.run_pair, support.wait_until

local MUCH = 16 * 1024 * 1024 -- more than the system takes on a connection whose peer does not read

--- A task that writes so much that it has to wait.
local function block_writer(stream, text)
  local writer = async.create_task(function() stream:write(text or ("x"):rep(MUCH)) end)
  settle()
  assert.equal("waiting", writer:state())
  assert.is_true(stream:statistics().queued >= 65536)
  return writer
end

describe("Stream.write", function()
  it("writes strings and numbers in order", function()
    run_pair(function(client, server)
      client:write("a", 1, "b", 2.5, "", "c")
      client:write()
      client:write("")
      client:shutdown()
      assert.equal("a1b2.5c", server:read_all())
    end)
  end)

  it("takes many strings at once", function()
    run_pair(function(client, server)
      local strings = {}
      for i = 1, 200 do strings[i] = i % 7 == 0 and "" or ("<%d>"):format(i) end
      client:write(table.unpack(strings))
      client:shutdown()
      assert.equal(table.concat(strings), server:read_all())
    end)
  end)

  it("returns at once while little is queued", function()
    run_pair(function(client)
      local turns = 0
      local ticker = async.create_task(function()
        while true do
          async.sleep(0)
          turns = turns + 1
        end
      end)
      async.sleep(0)
      local before = turns
      for _ = 1, 10 do client:write("hello") end
      assert.equal(before, turns)
      ticker:cancel()
    end)
  end)

  it("waits while the peer does not read, and goes on when it does", function()
    run_pair(function(client, server)
      local writer = block_writer(client)
      assert.matches("^127%.0%.0%.1:%d+ to take %d+ bytes$", writer:waiting_on())
      assert.equal(1, client:statistics().writers)
      local received = 0
      while received < MUCH do received = received + #server:read() end
      async.await(writer)
      assert.equal(0, client:statistics().writers)
      assert.equal(MUCH, client:statistics().bytes_written)
    end)
  end)

  it("delivers many megabytes unchanged", function()
    run_pair(function(client, server)
      local text = support.noise(12 * 1024 * 1024)
      local writer = async.create_task(function()
        for i = 1, #text, 1000003 do client:write(text:sub(i, i + 1000002)) end
        client:shutdown()
      end)
      assert.is_true(text == server:read_all())
      async.await(writer)
    end)
  end)

  it("delivers a call with many strings of which the system takes only some", function()
    run_pair(function(client, server)
      local strings = {}
      for i = 1, 100 do strings[i] = support.noise(100000 + i):reverse() end
      local text = table.concat(strings)
      local writer = async.create_task(function() client:write(table.unpack(strings)) end)
      assert.is_true(text == server:read_exactly(#text))
      async.await(writer)
    end)
  end)

  it("keeps the bytes of each call together when several tasks write", function()
    run_pair(function(client, server)
      local writers = {}
      for i = 1, 8 do
        writers[i] = async.create_task(function()
          for _ = 1, 5 do client:write(("%d"):format(i):rep(99999), ("%d"):format(i):rep(100000), "\n") end
        end)
      end
      local lines = {}
      for i = 1, 40 do
        local line = server:read_line(1000000)
        assert.equal(199999, #line)
        assert.equal(line:sub(1, 1):rep(199999), line)
        lines[i] = line:sub(1, 1)
      end
      for i = 1, 8 do async.await(writers[i]) end
      table.sort(lines)
      assert.equal("1111122222333334444455555666667777788888", table.concat(lines))
    end)
  end)

  it("writes both ways at once", function()
    run_pair(function(client, server)
      local text = support.noise(3 * 1024 * 1024)
      local function exchange(stream)
        local writer = async.create_task(function() stream:write(text) end)
        local got = stream:read_exactly(#text)
        async.await(writer)
        return got
      end
      local a, b = async.gather(function() return exchange(client) end, function() return exchange(server) end)
      assert.is_true(a == text and b == text)
    end)
  end)

  it("does not wait outside a task", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local written = async.Future()
      async.call_soon(function()
        client:write(text)
        written:set_result(client:statistics().queued)
      end)
      assert.is_true(async.await(written) >= 65536)
      assert.is_true(text == server:read_exactly(#text))
    end)
  end)

  it("does not wait, nor raise, where a task cannot wait", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local reader = async.create_task(function() return server:read_exactly(MUCH + 4000000) end)
      coroutine.wrap(function()
        for i = 1, 4000000, 1000 do client:write(text:sub(i, i + 999)) end -- where it could let others have their turn
        client:write(text)
        assert.is_true(client:statistics().queued >= 65536)
      end)()
      assert.is_true(text:sub(1, 4000000) .. text == async.await(reader))
    end)
  end)

  it("waits in a coroutine of luawait.std, also at the end of a scope", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return #server:read_exactly(2 * MUCH) end)
      std.coroutine.wrap(function()
        client:write(("x"):rep(MUCH))
        assert.is_true(client:statistics().queued < 65536)
        local held <close> = client
        async.pcall(async.timeout, 0, held.write, held, ("x"):rep(MUCH))
      end)()
      assert.is_true(client:is_closing())
      assert.equal(2 * MUCH, client:statistics().bytes_written)
      assert.equal(0, client:statistics().queued)
      assert.equal(2 * MUCH, async.await(reader))
    end)
  end)

  it("that is cancelled has handed over all it was given", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local writer = block_writer(client, text)
      writer:cancel()
      assert.equal("CancelledError", failure_kind(async.await, writer))
      assert.equal(0, client:statistics().writers)
      assert.is_true(text == server:read_exactly(#text))
      client:write("and on")
      assert.equal("and on", server:read())
    end)
  end)

  it("lets others have their turn when the system takes everything", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return #server:read_all() end)
      local turns = 0
      local ticker = async.create_task(function()
        while true do
          async.sleep(0)
          turns = turns + 1
        end
      end)
      async.sleep(0)
      local before = turns
      for _ = 1, 64 do client:write(("x"):rep(65536)) end
      assert.is_true(turns > before)
      ticker:cancel()
      client:shutdown()
      assert.equal(64 * 65536, async.await(reader))
    end)
  end)

  it("refuses bad arguments before anything is sent", function()
    run_pair(function(client, server)
      assert.matches("bad argument #2 to 'write' %(string expected, got table%)",
        failure_text(function() client:write("a", {}) end))
      assert.matches("bad argument #1 to 'write' %(string expected, got nil%)",
        failure_text(function() client:write(nil, "a") end))
      client:write("ok")
      assert.equal("ok", server:read())
    end)
  end)
end)

describe("A connection that breaks", function()
  it("is an error of the write that meets it, and of the later ones", function()
    run_pair(function(client, server)
      support.reset_by(client, server)
      local err
      wait_until(function()
        err = failure(server.write, server, "x")
        return err ~= nil
      end)
      assert.equal("OSError", err.name)
      assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET")
      assert.equal("write", err.syscall)
      assert.matches("^127%.0%.0%.1:%d+$", err.address)
      assert.equal(err.code, failure(server.write, server, "x").code)
      assert.equal(err.code, failure(server.flush, server).code)
      assert.equal(err.code, failure(server.shutdown, server).code)
    end)
  end)

  it("wakes writers and flushers with the error", function()
    run_pair(function(client, server)
      local writer = block_writer(server)
      local flusher = async.create_task(function() server:flush() end)
      settle()
      client:close() -- with unread data: a reset
      for _, task in ipairs({ writer, flusher }) do
        local err = failure(async.await, task)
        assert.equal("OSError", err.name)
        assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET")
      end
    end)
  end)

  it("does not kill the program with SIGPIPE", function()
    local output = helpers.child_output([[
      local net = require "luawait.net"
      local done = async.Future
      async.run(function()
        local written = async.Future()
        local server <close> = net.serve("127.0.0.1", 0, function(stream)
          stream:read_all()
          local ok, err
          repeat
            ok, err = pcall(stream.write, stream, "x")
            async.sleep(0)
          until not ok
          written:set_result(err.code)
        end)
        local client = net.connect(server:address())
        client:shutdown()
        client:close()
        print("at once", async.await(written))
      end)
      async.run(function()
        local written = async.Future()
        local server <close> = net.serve("127.0.0.1", 0, function(stream)
          stream:read_all()
          local _, err = pcall(stream.write, stream, ("x"):rep(16 * 1024 * 1024))
          written:set_result(err.code)
        end)
        local client = net.connect(server:address())
        client:shutdown()
        assert(client:read(1))
        client:close()
        print("queued", async.await(written))
      end)
    ]])
    assert.matches("at once\tE%u+", output)
    assert.matches("queued\tE%u+", output)
  end)
end)

describe("Stream.flush", function()
  it("returns at once when nothing is queued", function()
    run_pair(function(client)
      client:flush()
      client:write("x")
      client:flush()
      assert.equal(0, client:statistics().queued)
    end)
  end)

  it("waits until everything was taken", function()
    run_pair(function(client, server)
      local writer = block_writer(client)
      local flusher = async.create_task(function()
        client:flush()
        return client:statistics().queued
      end)
      settle()
      assert.equal("waiting", flusher:state())
      server:read_exactly(MUCH)
      assert.equal(0, async.await(flusher))
      assert.equal("done", writer:state())
    end)
  end)

  it("can be cancelled", function()
    run_pair(function(client, server)
      local writer = block_writer(client)
      local flusher = async.create_task(function() client:flush() end)
      settle()
      flusher:cancel()
      assert.equal("CancelledError", failure_kind(async.await, flusher))
      assert.equal(MUCH, #server:read_exactly(MUCH))
      async.await(writer)
    end)
  end)
end)

describe("Stream.shutdown", function()
  it("ends this direction only", function()
    run_pair(function(client, server)
      client:write("question")
      client:shutdown()
      assert.equal("question", server:read_all())
      server:write("answer")
      assert.equal("answer", client:read())
      assert.is_false(client:is_closing())
    end)
  end)

  it("waits until everything was sent", function()
    run_pair(function(client, server)
      local text = support.noise(MUCH)
      local writer = block_writer(client, text)
      local ender = async.create_task(function() client:shutdown() end)
      settle()
      assert.equal("waiting", ender:state())
      assert.is_true(text == server:read_all())
      async.await(ender)
      async.await(writer)
    end)
  end)

  it("twice is fine, at the same time too", function()
    run_pair(function(client, server)
      async.gather(function() client:shutdown() end, function() client:shutdown() end)
      client:shutdown()
      assert.is_nil(server:read())
    end)
  end)

  it("forbids further writes", function()
    run_pair(function(client)
      client:shutdown()
      local err = failure(client.write, client, "x")
      assert.equal("RuntimeError", err.name)
      assert.matches("shut down for writing", err.message)
      client:flush()
    end)
  end)

  it("that is cancelled is carried out all the same", function()
    run_pair(function(client, server)
      local writer = block_writer(client)
      local ender = async.create_task(function() client:shutdown() end)
      settle()
      ender:cancel()
      assert.equal("CancelledError", failure_kind(async.await, ender))
      assert.equal(MUCH, #server:read_all())
      async.await(writer)
    end)
  end)
end)
