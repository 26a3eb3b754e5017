-- luv on the loop. Each program is a child of its own: luv can be put on a loop only before anything else loads it.
local embed = require "spec.support.embed"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"

local path = package.searchpath("luv", package.cpath)

local function it_with_luv(name, fn)
  it(name, function()
    if not path then return pending("luv is not installed for Lua 5.4") end
    if not package.loadlib(path, "luv_set_loop") then return pending("luv is too old to share a loop") end
    fn()
  end)
end

-- What a program prints that ends well; `uv` is luawait.luv there, `checked` raises the error of a callback.
local function output(source)
  return helpers.child_output([[
    local uv = require "luawait.luv"
    local function checked(err, ...) if err then error(err, 0) end return ... end
    local from = async.from_callback
  ]] .. source)
end

describe("luawait.luv", function()
  it_with_luv("has luv's timers wake tasks, in several runs", function()
    assert.equal("early\nlate\nearly\nlate\n", output([[
      for _ = 1, 2 do
        async.run(function()
          local timer = uv.new_timer()
          local start = async.time()
          async.gather(
            function() from(uv.timer_start, timer, 60, 0) assert(async.time() - start > 0.055) print("late") end,
            function() async.sleep(0.001) print("early") end)
          timer:close()
        end)
      end]]))
  end)

  it_with_luv("has luv's handles among what a test leaves behind", function()
    assert.equal("idle handle timer handle\n", output([[
      local testing = require "luawait.testing"
      local kept = {}
      local _, err = pcall(testing.run, function() kept[1], kept[2] = uv.new_idle(), uv.new_timer() end)
      table.sort(err.leaks)
      print(table.concat(err.leaks, " "))]]))
  end)

  it_with_luv("has luv's files", function()
    local name = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(name) end)
    assert.equal("11\thello world\tfile\nENOENT\n", output(([[
      async.run(function()
        local fd = checked(from(uv.fs_open, %q, "w+", 384))
        local written = checked(from(uv.fs_write, fd, "hello world", 0))
        local text = checked(from(uv.fs_read, fd, 100, 0))
        print(written, text, checked(from(uv.fs_fstat, fd)).type)
        checked(from(uv.fs_close, fd))
        print((select(2, pcall(function() checked(from(uv.fs_stat, "/no/such")) end)):match("^%%u+")))
      end)]]):format(name)))
  end)

  it_with_luv("has luv's TCP, against luawait's and its own", function()
    assert.equal("from luv\nfrom luawait\n", output([[
      local net = require "luawait.net"
      async.run(function()
        local server <close> = net.serve("127.0.0.1", 0, function(stream)
          print(stream:read_line())
          stream:write("from luawait\n")
        end)
        local _, port = server:address()
        local client = uv.new_tcp()
        checked(from(uv.tcp_connect, client, "127.0.0.1", port))
        checked(from(uv.write, client, "from luv\n"))
        io.write(checked(from(uv.read_start, client)))
        uv.read_stop(client)
        from(uv.close, client)
      end)]]))
    assert.equal("ping\n", output([[
      async.run(function()
        local server, connections = uv.new_tcp(), async.Queue()
        server:bind("127.0.0.1", 0)
        server:listen(8, function(err) connections:put_nowait(err or true) end)
        local echo = async.create_task(function()
          connections:get()
          local peer = uv.new_tcp()
          server:accept(peer)
          checked(from(uv.write, peer, checked(from(uv.read_start, peer))))
          peer:close()
        end)
        local client = uv.new_tcp()
        checked(from(client.connect, client, "127.0.0.1", server:getsockname().port))
        checked(from(client.write, client, "ping"))
        print(checked(from(client.read_start, client)))
        async.await(echo)
        client:close()
        server:close()
      end)]]))
  end)

  it_with_luv("raises what luv returns where it fails at once", function()
    assert.matches("^false\tE%u+: ", output([[
      async.run(function()
        local closed = uv.new_tcp()
        from(uv.close, closed)
        print(pcall(from, uv.read_start, closed))
        async.sleep(0)
      end)]]))
  end)

  it_with_luv("reports what a callback raises, and goes on", function()
    assert.equal("error in a callback of luv\toops\ttrue\nRuntimeError\ntrue\n", output([[
      async.run(function()
        local reports = async.Queue()
        async.set_exception_handler(function(info) reports:put_nowait(info) end)
        local timer = uv.new_timer()
        timer:start(1, 0, function() error("oops", 0) end)
        local info = reports:get()
        print(info.message, info.error, info.traceback:find("in function", 1, true) ~= nil)
        timer:start(1, 0, function() async.sleep(1) end)
        print(reports:get().error.name)
        print(from(timer.start, timer, 1, 0) == nil)
      end, {debug = true})]]))
  end)

  it_with_luv("closes what is open when the run ends, and calls nothing any more", function()
    assert.equal("ended\nagain\n", output([[
      local ended = false
      local function late() if ended then print("called") end end
      async.run(function()
        uv.new_timer():start(0, 1, late)
        uv.new_timer():start(100000, 0, late)
        uv.new_idle():start(late)
        local server = uv.new_tcp()
        server:bind("127.0.0.1", 0)
        server:listen(8, late)
        local client = uv.new_tcp()
        client:connect("127.0.0.1", server:getsockname().port, late)
        uv.fs_stat("/", late)
        uv.getaddrinfo("localhost", nil, nil, late)
        local pipe = uv.new_pipe(false)
        pipe:open(uv.pipe().write)
        pipe:write(("x"):rep(1e6), late) -- nobody reads
      end)
      ended = true
      print("ended")
      collectgarbage() collectgarbage()
      async.run(function() from(uv.timer_start, uv.new_timer(), 1, 0) print("again") end)]]))
  end)

  it_with_luv("does no harm outside a run, and at the end of the state", function()
    assert.equal("made\nstill\n", output([[
      local outside = uv.new_timer()
      outside:start(0, 0, error)
      print("made")
      async.run(function() async.sleep(0.01) end)
      outside:start(0, 1, error)
      local runner = async.Runner()
      runner:run(function()
        uv.new_timer():start(0, 1, function() end)
        async.sleep(0.01)
        print("still")
      end)]]))
    assert.equal("", output([[
      async.run(function()
        uv.new_timer():start(0, 1, function() end)
        async.sleep(0.01)
        os.exit(0, true)
      end)]]))
  end)

  it_with_luv("is what luv is for those who require it later", function()
    assert.equal("true\n", output([[
      local luv = require "luv"
      async.run(function()
        from(luv.timer_start, luv.new_timer(), 1, 0)
        print(luv.new_timer == uv.new_timer)
      end)]]))
  end)

  it_with_luv("keeps luv from the loop itself", function()
    assert.equal("RuntimeError: luv.run: the loop is luawait's\n", output([[
      async.run(function()
        for _, name in ipairs {"stop", "walk", "loop_close"} do assert(not pcall(uv[name])) end
        print(select(2, pcall(uv.run)))
      end)]]))
  end)

  it_with_luv("can be interrupted in a callback", function()
    local result = helpers.child([[
      local uv = require "luawait.luv"
      async.run(function()
        uv.new_timer():start(1, 0, function()
          for _ = 1, 2 do uv.kill(uv.os_getpid(), "sigint") uv.sleep(50) end
          while true do end
        end)
        async.sleep(100)
      end)]], { seconds = 20 })
    assert.equal(1, result.status)
    assert.matches("KeyboardInterrupt", result.stderr, 1, true)
  end)

  it_with_luv("works in a program in C, and not on a loop of the program's", function()
    local script = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(script) end)
    helpers.write_file(script, [[
      local async, uv = require "luawait", require "luawait.luv"
      async.from_callback(uv.timer_start, uv.new_timer(), 1, 0)
      print("woken")]])
    assert.same({ "woken\n", 0 }, { embed.run("minimal " .. script) })
    assert.same({ "RuntimeError: luv cannot be put on the loop of a host, whose handles outlive the state\n", 1 },
      { embed.run([[embed_luv 'require "luawait.luv"']]) })
  end)

  it_with_luv("leaves luv without a loop while that is a host's", function()
    assert.same({ "mine\ntheirs\n", 0 }, { embed.run([[embed_luv '
      async, uv = require "luawait", require "luawait.luv"
      async.from_callback(uv.timer_start, uv.new_timer(), 1, 0)
      print("mine")' '
      uv.new_timer():start(0, 1, function() print("called") end)
      async.sleep(0.01)
      print("theirs")']]) })
  end)

  it_with_luv("can be had later where its loop could not be made", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local expected = "false\tOSError: uv_loop_init: too many open files (EMFILE)\ntrue\ttrue\nwoken\n"
    assert.equal(expected, faults.child_output([[
      local async = require "luawait"
      local plans = require("luawait.core").call_faults
      for round = 1, 2 do
        plans.plan(2 - round)
        local ok, uv = pcall(require, "luawait.luv")
        print(ok, ok or uv)
      end
      plans.plan(0)
      local uv = require "luawait.luv"
      async.run(function() async.from_callback(uv.timer_start, uv.new_timer(), 1, 0) print("woken") end)]]))
  end)

  it_with_luv("says so where luv was loaded before", function()
    assert.matches("^false\tRuntimeError: luv was loaded before", helpers.child_output(
      [[require "luv" print(pcall(require, "luawait.luv"))]]))
  end)

  it_with_luv("is used as its page shows", function()
    local code = helpers.read_file("docs/tasks.md"):match('```lua\n(local uv = require "luawait.luv".-)```')
    assert.equal(helpers.read_file("README.md"):sub(1, 100) .. "\n", helpers.child_output(code, { bare = true }))
  end)

  it("says so where luv is not installed", function()
    assert.matches("^false\tRuntimeError: luv is not installed:\n\tno file '/none/luv.so'", helpers.child_output(
      [[package.cpath = "/none/?.so" print(pcall(require, "luawait.luv"))]]))
  end)

  -- A luv that has a libuv of its own, whose version is `version` if that is visible.
  local function child_with_false_luv(version)
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local _ <close> = helpers.defer(function() os.execute("rm -r " .. folder) end)
    helpers.write_file(folder .. "/luv.c", "int luaopen_luv(void) { return 0; } void luv_set_loop(void) {} "
      .. "void luv_set_callback(void) {} " .. (version or ""))
    assert(os.execute(("${CC:-cc} -shared -fPIC -o %s/luv.so %s/luv.c"):format(folder, folder)))
    return helpers.child_output(([[package.cpath = "%s/?.so" print(pcall(require, "luawait.luv"))]]):format(folder))
  end

  it("says so where luv has another libuv", function()
    assert.matches("^false\tRuntimeError: luv has a libuv of its own %(9%.9%.9%), not the one of luawait %(%d",
      child_with_false_luv('const char *uv_version_string(void) { return "9.9.9"; }'))
    assert.matches("luv.so has no uv_version_string: it is no luv that can share a loop", child_with_false_luv(),
      1, true)
  end)
end)
