-- Files that are open: opening, writing, position, closing.
local async = require "luawait"
local fs = require "luawait.fs"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"
local support = require "spec.support.fs"

local os_error = support.os_error

--- What fn(...) raises, as text, without the place of the call.
local function failure_text(fn, ...)
  return (helpers.failure_text(fn, ...):gsub("^[%w_/.]+:%d+: ", ""))
end

describe("fs.open", function()
  it("takes the modes of io.open, and x", function()
    support.run(function(dir)
      local path = dir .. "/a"
      os_error("ENOENT", path, fs.open, path)
      os_error("ENOENT", path, fs.open, path, "r+")
      local file = fs.open(path, "wx", { mode = 384 })
      file:write("hello")
      file:close()
      assert.equal(384, fs.stat(path).mode)
      os_error("EEXIST", path, fs.open, path, "wx")
      local contents = { ["a"] = "helloXY", ["a+b"] = "helloXY", ["r+"] = "XYllo", ["w"] = "XY", ["w+"] = "XY" }
      for mode, content in pairs(contents) do
        fs.write_file(path, "hello")
        local opened <close> = fs.open(path, mode)
        opened:write("X", "Y")
        assert.equal(content, helpers.read_file(path), mode)
      end
      os_error("EBADF", path, function()
        local opened <close> = fs.open(path, "w")
        opened:read()
      end)
    end)
  end)

  it("names the argument that is wrong", function()
    helpers.run(function()
      for _, mode in ipairs({ "", "q", "rw", "r++", "rx", "w b" }) do
        assert.equal(("bad argument #2 to 'open' (invalid mode '%s')"):format(mode), failure_text(fs.open, "a", mode))
      end
      assert.equal("bad argument #2 to 'open' (string without zeros expected)", failure_text(fs.open, "a", "r\0w"))
      assert.equal("bad argument #3 to 'open' (option 'mode': integer from 0 to 4095 expected)",
        failure_text(fs.open, "a", "w", { mode = 1.5 }))
    end)
  end)

  it("is not inherited by children", function()
    if not io.open("/proc/self/fd/0") then return pending("no /proc") end
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/unique-name", "w")
      local temporary <close>, path = fs.mkstemp(dir .. "/unique-name")
      assert.is_truthy(file and temporary and path)
      local _ <close> = fs.watch(tostring(dir))
      assert.is_nil(support.shell("ls -l /proc/self/fd"):find("unique%-name"))
      assert.is_nil(support.shell("ls -l /proc/self/fd"):find("inotify"))
    end)
  end)
end)

describe("a File", function()
  it("writes strings and numbers, and returns itself", function()
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/a", "w+")
      assert.equal(file, file:write("a", 1, 2.5, "\0"))
      assert.equal(file, file:write())
      file:write("more"):sync()
      assert.equal("a12.5\0more", helpers.read_file(dir .. "/a"))
      assert.equal("bad argument #2 to 'write' (string expected, got table)",
        failure_text(function() file:write("x", {}) end))
      assert.equal("a12.5\0more", helpers.read_file(dir .. "/a"))
    end)
  end)

  it("seeks and tells", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "0123456789")
      local file <close> = fs.open(dir .. "/a", "r+")
      assert.equal(0, file:seek())
      assert.equal("012", file:read(3))
      assert.equal(3, file:seek())
      assert.equal(5, file:seek("cur", 2))
      assert.equal("56", file:read(2))
      file:write("X")
      assert.equal("89", file:read("a"))
      assert.equal(8, file:seek("end", -2))
      assert.equal("8", file:read(1))
      assert.equal("0123456X89", helpers.read_file(dir .. "/a"))
      os_error("EINVAL", dir .. "/a", file.seek, file, "set", -1)
      assert.equal("bad argument #1 to 'seek' (\"set\", \"cur\" or \"end\" expected, got \"x\")",
        failure_text(function() file:seek("x") end))
      assert.equal("bad argument #1 to 'seek' (string without zeros expected)",
        failure_text(function() file:seek("set\0") end))
    end)
  end)

  it("is cut and lengthened", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "0123456789")
      local file <close> = fs.open(dir .. "/a", "r+")
      file:read(4)
      assert.equal(4, file:truncate():stat().size)
      assert.equal(6, file:truncate(6):stat().size)
      assert.equal("\0\0", file:read("a"))
      assert.equal("bad argument #1 to 'truncate' (size of 0 or more bytes expected, got -1)",
        failure_text(function() file:truncate(-1) end))
    end)
  end)

  it("holds more than 4 GiB", function()
    support.run(function(dir)
      local far = (1 << 32) + 12345
      local file <close> = fs.open(dir .. "/sparse", "w+")
      file:seek("set", far)
      file:write("end\nlast")
      assert.equal(far + 8, file:stat().size)
      assert.equal(far + 8, file:seek())
      file:seek("set", far - 2)
      assert.same({ "\0\0end", far + 4 }, { file:read("l"), file:seek() })
      assert.equal("last", file:read("a"))
      assert.equal(far + 6, file:seek("end", -2))
      assert.equal("st", file:read(1 << 40))
      assert.equal((1 << 32) + 1, file:truncate((1 << 32) + 1):stat().size)
    end)
  end)

  it("tells that the disk is full", function()
    if not os.execute("test -e /dev/full") then return pending("no /dev/full") end
    support.run(function()
      local file <close> = fs.open("/dev/full", "w")
      assert.equal("write", os_error("ENOSPC", "/dev/full", file.write, file, "x").syscall)
    end)
  end)

  it("has no position when it is a pipe, and loses nothing that it has read ahead", function()
    support.run(function(dir)
      local path = dir .. "/pipe"
      support.shell("mkfifo '%s'", path)
      local file <close> = fs.open(path, "r+")
      assert.equal("lseek", os_error("ESPIPE", path, file.seek, file).syscall)
      assert.equal("lseek", os_error("ESPIPE", path, file.truncate, file).syscall)
      file:write("one\ntwo\n")
      assert.equal("one", file:read())
      file:write("three\n")
      assert.same({ "two", "three" }, { file:read("l", "l") })
    end)
  end)

  it("stays as it is when the place of what was read ahead cannot be gone back to", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local dir <close> = support.directory()
    local said = faults.child_output(([[
      local async, fs, helpers = require "luawait", require "luawait.fs", require "spec.support.helpers"
      local plans, path = require("luawait.core").call_faults, %q
      async.run(function()
        for _, name in ipairs({ "write", "seek", "truncate" }) do
          helpers.write_file(path, "one\ntwo\n")
          local file <close> = fs.open(path, "r+")
          file:read()
          local n, err, hit = 0, nil, nil
          repeat
            n = n + 1
            plans.plan(n)
            err = helpers.failure(file[name], file, name == "write" and "X" or nil)
            hit = plans.state().hit
            plans.plan(0)
          until hit == "lseek"
          print(name, err.code, err.syscall, helpers.read_file(path) == "one\ntwo\n", file:read())
        end
      end)]]):format(dir .. "/a"))
    local rest = "\tEIO\tlseek\ttrue\ttwo\n"
    assert.equal("write" .. rest .. "seek" .. rest .. "truncate" .. rest, said)
  end)

  it("goes on where another writer stopped: the position is the descriptor's", function()
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/a", "a+")
      file:write("one\n")
      assert(os.execute(("echo two >>'%s'"):format(dir .. "/a")))
      file:write("three\n")
      file:seek("set")
      assert.equal("one\ntwo\nthree\n", file:read("a"))
      fs.write_file(dir .. "/a", "four\n", { append = true })
      assert.equal("four", file:read())
    end)
  end)
end)

describe("several tasks on one File", function()
  it("take turns, in the order of their calls, each call whole", function()
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/a", "w+")
      local expected, tasks = {}, {}
      for i = 1, 100 do
        local text = ("%d,"):format(i):rep(i % 7 * 1000 + 1)
        expected[i] = text
        tasks[i] = async.create_task(function() file:write(text) end)
      end
      local size = async.create_task(function() return file:stat().size end)
      async.gather(tasks)
      assert.equal(#table.concat(expected), async.await(size))
      file:seek("set")
      assert.equal(table.concat(expected), file:read("a"))
    end)
  end)

  it("read different parts", function()
    support.run(function(dir)
      local lines = {}
      for i = 1, 5000 do lines[i] = ("line %d %s"):format(i, ("x"):rep(i % 50)) end
      fs.write_file(dir .. "/a", table.concat(lines, "\n"))
      local file <close> = fs.open(dir .. "/a")
      local seen = {}
      async.task_group(function(tg)
        for _ = 1, 10 do
          tg:create_task(function()
            for line in file:lines() do
              seen[#seen + 1] = line
              async.sleep(0)
            end
          end)
        end
      end)
      assert.equal(5000, #seen)
      assert.same(lines, seen)
    end)
  end)

  it("can be cancelled while they wait for their turn", function()
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/a", "w")
      local tasks = {}
      for i = 1, 20 do tasks[i] = async.create_task(function() file:write(("%02d"):format(i)) end) end
      async.sleep(0)
      for i = 2, 20, 2 do tasks[i]:cancel() end
      async.wait(tasks)
      file:close()
      assert.equal("0103050709" .. "1113151719", fs.read_file(dir .. "/a"))
    end)
  end)
end)

describe("closing a File", function()
  it("waits for what was begun, and refuses what comes after", function()
    support.run(function(dir)
      local file = fs.open(dir .. "/a", "w")
      local writer = async.create_task(function() file:write(("x"):rep(1 << 22)) end)
      async.sleep(0)
      local closer = async.create_task(function() file:close() end)
      async.sleep(0)
      assert.equal("RuntimeError: file is closed", failure_text(file.write, file, "y"))
      async.gather(writer, closer)
      assert.equal(1 << 22, fs.stat(dir .. "/a").size)
      file:close()
      assert.equal(("<File %s closed>"):format(dir .. "/a"), tostring(file))
      for _, name in ipairs({ "read", "write", "seek", "sync", "truncate", "stat" }) do
        assert.equal("RuntimeError: file is closed", failure_text(file[name], file), name)
      end
      assert.equal("RuntimeError: file is closed", failure_text(file:lines()))
    end)
  end)

  it("goes on when it is cancelled", function()
    support.run(function(dir)
      local before = support.descriptors()
      for _ = 1, 20 do
        local file = fs.open(dir .. "/a", "w")
        local writer = async.create_task(function() file:write(("x"):rep(1 << 20)) end)
        local closer = async.create_task(function() file:close() end)
        async.sleep(0)
        closer:cancel()
        async.wait({ closer, writer })
        assert.is_true(closer:cancelled())
      end
      support.wait_until(function() return support.descriptors() == before end)
    end)
  end)

  it("happens when a scope is left, well or with an error", function()
    support.run(function(dir)
      local before = support.descriptors()
      local files = {}
      do
        local file <close> = fs.open(dir .. "/a", "w")
        files[1] = file
      end
      assert.equal("x", helpers.failure(function()
        local file <close> = fs.open(dir .. "/a", "w")
        files[2] = file
        error("x", 0)
      end))
      assert.equal("CancelledError", helpers.failure_kind(function()
        local file <close> = fs.open(dir .. "/a", "w")
        files[3] = file
        async.current_task():cancel()
        file:write(("x"):rep(1 << 22))
      end))
      for _, file in ipairs(files) do assert.is_truthy(tostring(file):find("closed")) end
      support.wait_until(function() return support.descriptors() == before end)
    end)
  end)

  it("happens at once where the end of a scope cannot wait", function()
    support.run(function(dir)
      local before = support.descriptors()
      local function leave(file)
        local owned <close> = file
        return owned and "left"
      end
      local ways = {
        ["a callback"] = function(file)
          async.call_soon(leave, file)
          async.sleep(0)
        end,
        ["a coroutine of the program's"] = function(file) coroutine.wrap(leave)(file) end,
        ["a function that C calls"] = function(file) string.gsub("x", "x", function() leave(file) end) end,
      }
      for name, way in pairs(ways) do
        local file = fs.open(dir .. "/a", "w")
        way(file)
        assert.is_truthy(tostring(file):find("closed"), name)
        assert.equal(before, support.descriptors(), name)
      end
    end)
  end)

  it("happens in its turn when it is cancelled and forgotten", function()
    support.run(function(dir)
      local path = dir .. "/pipe"
      support.shell("mkfifo '%s'", path)
      local reader <close> = fs.open(path, "r+") -- has both ends: opening the other one does not wait
      local before = support.descriptors()
      local function write_and_forget()
        local file = fs.open(path, "w")
        async.create_task(function() file:write(("x"):rep(1 << 20)) end) -- waits: a pipe holds less
        async.sleep(0)
        local closer = async.create_task(function() file:close() end)
        async.sleep(0)
        closer:cancel()
        async.wait({ closer })
      end
      write_and_forget()
      helpers.collect_garbage()
      assert.equal(1 << 20, #reader:read(1 << 20))
      support.wait_until(function() return support.descriptors() == before end)
    end)
  end)

  it("happens at the end of the run, and when it is collected", function()
    local dir <close> = support.directory()
    local before, kept = support.descriptors(), nil
    helpers.run(function()
      kept = fs.open(dir .. "/a", "w")
      async.create_task(function() kept:write(("x"):rep(1 << 24)) end)
      async.sleep(0)
    end)
    assert.equal(before, support.descriptors())
    assert.is_truthy(tostring(kept):find("closed"))
    helpers.run(function()
      local inside = support.descriptors()
      do
        local file = fs.open(dir .. "/a", "w")
        assert.is_truthy(tostring(file):find("open"))
        assert.equal(inside + 1, support.descriptors())
      end
      helpers.collect_garbage()
      assert.equal(inside, support.descriptors())
    end)
  end)

  it("does not wait in a callback", function()
    support.run(function(dir)
      local file = fs.open(dir .. "/a", "w")
      local writer = async.create_task(function() file:write(("x"):rep(1 << 20)) end)
      local second = async.create_task(function() file:write("more") end)
      async.sleep(0)
      async.call_soon(file.close, file)
      async.sleep(0)
      assert.is_truthy(tostring(file):find("closed"))
      async.await(writer)
      assert.equal("RuntimeError: file is closed", failure_text(async.await, second))
      file = fs.open(dir .. "/a")
      local reader = async.create_task(function() return file:read("a") end)
      async.sleep(0)
      async.call_soon(file.close, file)
      assert.equal("RuntimeError: file is closed", failure_text(async.await, reader))
    end)
  end)

  it("is told by a test that looks for what is left open", function()
    local testing = require "luawait.testing"
    local dir <close> = support.directory()
    local kept
    local err = helpers.failure(testing.run, function() kept = fs.open(dir .. "/a", "w") end)
    assert.equal("LeakError", helpers.kind(err))
    assert.same({ "file handle" }, err.leaks)
    assert.is_truthy(tostring(kept):find("closed"))
  end)

  it("is reported in debug mode where the program forgot it", function()
    local dir <close> = support.directory()
    local reports = helpers.collect(function()
      fs.open(dir .. "/a", "w")
      helpers.collect_garbage()
    end, { debug = true })
    assert.equal(("<File %s open> was dropped without being closed"):format(dir .. "/a"), reports[1].message)
  end)
end)
