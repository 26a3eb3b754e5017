local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.run, helpers.settle
local wait_until = support.wait_until

local linux = support.descriptors() ~= nil -- where there is /proc

local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

--- A path at which nothing is, removed after the test.
local path
before_each(function()
  path = os.tmpname()
  os.remove(path)
end)
after_each(function() os.remove(path) end)

--- Is there anything at the path? What os.rename onto itself tells.
local function exists(name) return os.rename(name, name) ~= nil end

local function ask(where, text)
  local client <close> = net.connect_unix(where)
  client:write(text, "\n")
  return client:read_line()
end

--- Leaves a socket file at the path on which nobody listens.
local function leave_stale()
  local result = helpers.child(([[
    local net = require "luawait.net"
    async.run(function()
      net.serve_unix(%q, print)
      os.exit(0, false) -- removes nothing
    end)]]):format(path))
  assert.equal(0, result.status)
  assert.is_true(exists(path))
end

describe("A Unix socket", function()
  it("connects streams", function()
    run(function()
      local server <close> = net.serve_unix(path, echo)
      assert.same({ path }, { server:address() })
      assert.equal(("<Server %s serving connections=0>"):format(path), tostring(server))
      assert.equal("hello", ask(path, "hello"))
    end)
  end)

  it("reads, writes, ends and closes as TCP does", function()
    run(function()
      local text = support.noise(3 * 1024 * 1024)
      local server <close> = net.serve_unix(path, function(stream)
        stream:write(stream:read_all())
      end)
      local client <close> = net.connect_unix(path)
      client:write(text)
      client:shutdown()
      assert.is_true(text == client:read_all())
      assert.is_nil(client:read())
      wait_until(function() return server:statistics().connections == 0 end)
    end)
  end)

  it("loses no byte to a cancelled read", function()
    run(function()
      local server <close> = net.serve_unix(path, echo)
      local client <close> = net.connect_unix(path)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.001, client.read_line, client))
      client:write("one\n")
      assert.equal("one", client:read_line())
      server:close()
    end)
  end)

  it("is an OSError of write when the peer is gone, and no SIGPIPE", function()
    run(function()
      local server <close> = net.serve_unix(path, function(stream) stream:close() end)
      local client <close> = net.connect_unix(path)
      assert.is_nil(client:read())
      local err = failure(client.write, client, "x")
      assert.same({ "OSError", "EPIPE", path }, { err.name, err.code, err.path })
      assert.equal(("write %s: broken pipe (EPIPE)"):format(path), err.message)
      assert.is_false(server:is_closing())
    end)
  end)

  it("has the path for its name", function()
    run(function()
      local accepted = async.Future()
      local server <close> = net.serve_unix(path, function(stream)
        accepted:set_result(stream)
        helpers.forever()
      end)
      local client <close> = net.connect_unix(path)
      local stream = async.await(accepted)
      assert.equal(path, client:peername())
      assert.equal(path, stream:sockname())
      assert.is_nil(client:sockname())
      assert.is_nil(stream:peername())
      assert.equal(("<Stream pipe -> %s open>"):format(path), tostring(client))
      assert.equal("<Stream pipe open>", tostring(stream))
      local reader = async.create_task(function() client:read() end)
      settle()
      assert.equal(("data from %s (0 bytes so far)"):format(path), reader:waiting_on())
      reader:cancel()
      client:close()
      assert.equal(path, client:peername())
      assert.is_nil(stream:read())
      stream:close()
      assert.is_nil(stream:peername())
      assert.is_false(server:is_closing())
    end)
  end)

  it("can have an abstract name", function()
    if not linux then return pending("Linux only") end
    run(function()
      local name = "\0luawait spec " .. path
      local server <close> = net.serve_unix(name, echo)
      assert.equal("hello", ask(name, "hello"))
      assert.equal(name, (server:address()))
      local client <close> = net.connect_unix(name)
      assert.equal(name, client:peername())
      assert.equal(("<Stream pipe -> @%s open>"):format(name:sub(2)), tostring(client))
      assert.equal(("<Server @%s serving connections=1>"):format(name:sub(2)), tostring(server):gsub("=%d", "=1"))
      local err = failure(net.serve_unix, name, echo)
      assert.equal(("bind @%s: address already in use (EADDRINUSE)"):format(name:sub(2)), err.message)
      assert.equal(name, err.path)
      server:close()
      assert.equal("ECONNREFUSED", failure(net.connect_unix, name).code)
    end)
  end)
end)

describe("net.connect_unix", function()
  it("raises OSError with the path", function()
    run(function()
      local err = failure(net.connect_unix, path)
      assert.same({ "OSError", "ENOENT", "connect", path }, { err.name, err.code, err.syscall, err.path })
      assert.equal(("connect %s: no such file or directory (ENOENT)"):format(path), err.message)
      helpers.write_file(path, "no socket")
      assert.equal("ECONNREFUSED", failure(net.connect_unix, path).code)
      assert.equal("no socket", helpers.read_file(path))
    end)
  end)

  it("waits while the backlog is full, until there is room", function()
    if not linux then return pending("Linux only") end
    run(function()
      local server <close> = net.serve_unix(path, function(stream) stream:read() end,
        { backlog = 1, max_connections = 1 })
      local clients = {}
      local opening = async.create_task(function()
        for i = 1, 10 do clients[i] = net.connect_unix(path) end
      end)
      -- One is served, one is held by libuv, two are in the backlog.
      wait_until(function() return #clients == 4 end)
      assert.equal("TimeoutError", failure_kind(net.connect_unix, path, { timeout = 0.03 }))
      while not opening:done() do
        for _, client in ipairs(clients) do client:close() end
        async.sleep(0.001)
      end
      async.await(opening)
      assert.equal(10, #clients)
      for _, client in ipairs(clients) do client:close() end
      wait_until(function() return server:statistics().accepted == 10 end)
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      for text, arguments in pairs({
        ["#1 to 'connect_unix' %(string expected, got nil"] = {},
        ["#1 to 'connect_unix' %(path expected, got an empty string"] = { "" },
        ["#1 to 'connect_unix' %(string without zeros expected"] = { "a\0b" },
        ["#2 to 'connect_unix' %(table expected, got number"] = { path, 1 },
        ["#2 to 'connect_unix' %(option 'timeout': number expected, got string"] = { path, { timeout = "x" } },
      }) do
        assert.matches("bad argument " .. text, failure_text(net.connect_unix, table.unpack(arguments)))
      end
    end)
  end)
end)

describe("net.serve_unix", function()
  it("removes the file when it is closed", function()
    run(function()
      local server = net.serve_unix(path, echo)
      assert.is_true(exists(path))
      server:close()
      assert.is_false(exists(path))
      assert.equal(path, server:address())
      assert.equal("ENOENT", failure(net.connect_unix, path).code)
      local without <close> = net.serve_unix(path, echo)
      os.remove(path)
      without:close()
      assert.is_true(without:is_closing())
    end)
  end)

  it("removes the file at the end of the run", function()
    run(function() net.serve_unix(path, echo) end)
    assert.is_false(exists(path))
  end)

  it("leaves the file of another server alone", function()
    run(function()
      local first = net.serve_unix(path, echo)
      os.remove(path)
      local second <close> = net.serve_unix(path, echo)
      first:close()
      assert.equal("hello", ask(path, "hello"))
      assert.is_false(second:is_closing())
    end)
  end)

  it("replaces a stale socket", function()
    leave_stale()
    run(function()
      assert.equal("ECONNREFUSED", failure(net.connect_unix, path).code)
      local server <close> = net.serve_unix(path, echo)
      assert.equal("hello", ask(path, "hello"))
      assert.is_false(server:is_closing())
    end)
  end)

  it("raises EADDRINUSE where somebody listens", function()
    run(function()
      local first <close> = net.serve_unix(path, echo)
      local err = failure(net.serve_unix, path, echo)
      assert.same({ "OSError", "EADDRINUSE", "bind", path }, { err.name, err.code, err.syscall, err.path })
      assert.equal("hello", ask(path, "hello"))
      assert.is_false(first:is_closing())
    end)
  end)

  it("never removes what is no socket", function()
    run(function()
      helpers.write_file(path, "precious")
      assert.equal("EADDRINUSE", failure(net.serve_unix, path, echo).code)
      assert.equal("precious", helpers.read_file(path))
      os.remove(path)
      os.execute(("ln -s /nowhere/at/all '%s'"):format(path))
      assert.equal("EADDRINUSE", failure(net.serve_unix, path, echo).code)
    end)
  end)

  it("raises OSError for a path that is too long or has no folder", function()
    run(function()
      local long = "/tmp/" .. ("x"):rep(104)
      for _, fn in ipairs({ net.connect_unix, net.serve_unix }) do
        local err = failure(fn, long, fn == net.serve_unix and echo or nil)
        assert.same({ "OSError", "ENAMETOOLONG", long }, { err.name, err.code, err.path })
      end
      assert.is_false(exists(long:sub(1, 107)))
      assert.equal("ENOENT", failure(net.serve_unix, path .. "/no/such/folder", echo).code)
    end)
  end)

  it("takes the longest path that there is room for", function()
    run(function()
      local long = path .. ("x"):rep(103 - #path)
      local server <close> = net.serve_unix(long, echo)
      assert.equal(long, server:address())
      assert.equal("hello", ask(long, "hello"))
    end)
    assert.is_false(exists(path .. ("x"):rep(103 - #path)))
  end)

  it("keeps to max_connections", function()
    run(function()
      local server <close> = net.serve_unix(path, echo, { max_connections = 1 })
      local first = net.connect_unix(path)
      wait_until(function() return server:statistics().connections == 1 end)
      local second <close> = net.connect_unix(path)
      second:write("waits\n")
      settle()
      assert.equal(1, server:statistics().accepted)
      first:close()
      assert.equal("waits", second:read_line())
    end)
  end)

  it("refuses bad arguments", function()
    run(function()
      for text, arguments in pairs({
        ["#1 to 'serve_unix' %(string expected, got number"] = { 1, echo },
        ["#2 to 'serve_unix' %(function expected, got nil"] = { path },
        ["#3 to 'serve_unix' %(option 'backlog': positive integer expected, got 0"] = { path, echo, { backlog = 0 } },
      }) do
        assert.matches("bad argument " .. text, failure_text(net.serve_unix, table.unpack(arguments)))
      end
    end)
    assert.is_false(exists(path))
  end)

  it("talks with socat", function()
    if not os.execute("command -v socat >/dev/null 2>&1") then return pending("needs socat") end
    run(function()
      local done = async.Future()
      local server <close> = net.serve_unix(path, function(stream)
        local line = stream:read_line()
        stream:write(line:upper(), "\n")
        done:set_result(line)
      end)
      os.execute(("(echo from socat | socat -t 5 - UNIX-CONNECT:%s >%s.out; mv %s.out %s.done) &"):format(path, path,
        path, path))
      assert.equal("from socat", async.await(done))
      wait_until(function() return exists(path .. ".done") end)
      assert.equal("FROM SOCAT\n", helpers.read_file(path .. ".done"))
      os.remove(path .. ".done")
      assert.is_false(server:is_closing())
    end)
  end)
end)
