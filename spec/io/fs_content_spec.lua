-- Whole files: read_file, write_file, plain, appending and atomic, and copy.
local async = require "luawait"
local fs = require "luawait.fs"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"
local support = require "spec.support.fs"

local failure_text, os_error = helpers.failure_text, support.os_error

local function mode_of(path) return support.shell("stat -c %%a '%s'", path):match("%d+") end

describe("fs.read_file", function()
  it("gives all bytes, whatever they are", function()
    support.run(function(dir)
      local data = {}
      for i = 0, 255 do data[#data + 1] = string.char(i) end
      data = table.concat(data):rep(5000)
      helpers.write_file(dir .. "/a", data)
      assert.equal(data, fs.read_file(dir .. "/a"))
      helpers.write_file(dir .. "/empty", "")
      assert.equal("", fs.read_file(dir .. "/empty"))
    end)
  end)

  it("reads files whose size is told as 0, and devices", function()
    support.run(function()
      assert.is_truthy(fs.read_file("/proc/self/status"):find("VmRSS"))
      assert.equal("", fs.read_file("/dev/null"))
    end)
  end)

  it("reads what a file has become since its size was told", function()
    support.run(function(dir)
      -- A pipe has no size, and grows while it is read.
      assert(os.execute(("mkfifo '%s'"):format(dir .. "/pipe")))
      assert(os.execute(("(yes | head -c 3000000 >'%s') &"):format(dir .. "/pipe")))
      assert.equal(("y\n"):rep(1500000), fs.read_file(dir .. "/pipe"))
    end)
  end)

  it("raises OSError with code, errno, syscall and path", function()
    support.run(function(dir)
      local err = os_error("ENOENT", dir .. "/none", fs.read_file, dir .. "/none")
      assert.same({ 2, "open" }, { err.errno, err.syscall })
      assert.equal("open " .. dir .. "/none: no such file or directory (ENOENT)", err.message)
      assert.equal("read", os_error("EISDIR", tostring(dir), fs.read_file, tostring(dir)).syscall)
      helpers.write_file(dir .. "/file", "")
      os_error("ENOTDIR", nil, fs.read_file, dir .. "/file/below")
    end)
  end)

  it("lets others run meanwhile", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", ("x"):rep(1 << 24))
      local turns, task = 0, async.create_task(function() return #fs.read_file(dir .. "/a") end)
      while not task:done() do
        turns = turns + 1
        async.sleep(0)
      end
      assert.equal(1 << 24, task:result())
      assert.is_true(turns > 2)
    end)
  end)

  it("names the argument that is wrong", function()
    helpers.run(function()
      assert.equal("bad argument #1 to 'read_file' (string expected, got nil)", failure_text(fs.read_file, nil))
      assert.equal("bad argument #1 to 'read_file' (string without zeros expected)", failure_text(fs.read_file, "a\0b"))
    end)
    assert.is_truthy(failure_text(fs.read_file, "x"):find("outside a task", 1, true))
  end)

  it("says what it waits for", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", "a")
      local task = async.create_task(function() return fs.read_file(dir .. "/a") end)
      async.sleep(0)
      assert.equal("read " .. dir .. "/a", task:waiting_on())
      assert.equal("a", async.await(task))
    end)
  end)

  it("that is cancelled leaves nothing, whether a thread has it or not", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", ("x"):rep(1 << 22))
      local tasks = {}
      for i = 1, 50 do tasks[i] = async.create_task(function() return #fs.read_file(dir .. "/a") end) end
      async.sleep(0)
      for i = 1, 50, 2 do tasks[i]:cancel() end
      async.wait(tasks)
      for i = 1, 50 do
        assert.equal(i % 2 == 1, tasks[i]:cancelled())
        if i % 2 == 0 then assert.equal(1 << 22, tasks[i]:result()) end
      end
    end)
  end)
end)

describe("fs.write_file", function()
  it("makes, replaces and appends", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "a long text")
      fs.write_file(dir .. "/a", "short\0")
      fs.write_file(dir .. "/a", "!", { append = true })
      assert.equal("short\0!", helpers.read_file(dir .. "/a"))
      fs.write_file(dir .. "/b", "new", { append = true, mode = 384 })
      assert.equal("600", mode_of(dir .. "/b"))
    end)
  end)

  it("takes data of any size", function()
    support.run(function(dir)
      local data = ("0123456789abcdef"):rep(1 << 18)
      fs.write_file(dir .. "/a", data)
      fs.write_file(dir .. "/a", data, { append = true })
      assert.equal(2 * #data, fs.stat(dir .. "/a").size)
      assert.equal(data .. data, fs.read_file(dir .. "/a"))
    end)
  end)

  it("raises OSError where the disk is full", function()
    if not os.execute("test -e /dev/full") then return pending("no /dev/full") end
    support.run(function(dir)
      assert.equal("write", os_error("ENOSPC", "/dev/full", fs.write_file, "/dev/full", "x").syscall)
      os_error("ENOENT", dir .. "/no/a", fs.write_file, dir .. "/no/a", "x")
      os_error("ENOENT", dir .. "/no/a", fs.write_file, dir .. "/no/a", "x", { atomic = true })
    end)
  end)

  it("names the argument that is wrong", function()
    helpers.run(function()
      assert.equal("bad argument #2 to 'write_file' (string expected, got no value)", failure_text(fs.write_file, "a"))
      assert.equal("bad argument #3 to 'write_file' (option 'atomic': boolean expected, got number)",
        failure_text(fs.write_file, "a", "", { atomic = 1 }))
      assert.equal("bad argument #3 to 'write_file' (option 'mode': integer from 0 to 4095 expected)",
        failure_text(fs.write_file, "a", "", { mode = 4096 }))
      assert.equal("bad argument #3 to 'write_file' (options 'append' and 'atomic' exclude each other)",
        failure_text(fs.write_file, "a", "", { atomic = true, append = true }))
    end)
  end)
end)

describe("fs.copy", function()
  it("copies all bytes and the mode, over what was there", function()
    support.run(function(dir)
      for _, size in ipairs({ 0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3000001 }) do
        local data = ("\0\255abc"):rep(size // 5 + 1):sub(1, size)
        helpers.write_file(dir .. "/a", data)
        fs.chmod(dir .. "/a", 384)
        helpers.write_file(dir .. "/b", ("o"):rep(2000000))
        fs.copy(dir .. "/a", dir .. "/b")
        assert.equal(data, fs.read_file(dir .. "/b"))
        assert.equal("600", mode_of(dir .. "/b"))
      end
    end)
  end)

  it("copies files whose size is told as 0, and into devices", function()
    support.run(function(dir)
      fs.copy("/proc/self/status", dir .. "/status")
      assert.is_truthy(fs.read_file(dir .. "/status"):find("VmRSS"))
      local mode = mode_of("/dev/null")
      fs.copy(dir .. "/status", "/dev/null")
      assert.equal("char", fs.stat("/dev/null").type)
      assert.equal(mode, mode_of("/dev/null"))
    end)
  end)

  it("leaves a file as it is that is copied to itself", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", "text")
      fs.link(dir .. "/a", dir .. "/b")
      fs.copy(dir .. "/a", dir .. "/a")
      fs.copy(dir .. "/a", dir .. "/b")
      assert.equal("text", fs.read_file(dir .. "/a"))
    end)
  end)

  it("ends where the file is cut meanwhile", function()
    support.run(function(dir)
      -- Nothing of it is on the disk: zeros, which take a while to write.
      local file <close> = fs.open(dir .. "/a", "w")
      file:truncate(1 << 33)
      local task = async.create_task(function() fs.copy(dir .. "/a", dir .. "/b") end)
      support.wait_until(function() return fs.exists(dir .. "/b") and fs.stat(dir .. "/b").size > 0 end)
      file:truncate(0)
      async.wait_for(task, 30)
      assert.is_true(fs.stat(dir .. "/b").size < 1 << 33)
    end)
  end)

  it("that is cancelled or fails leaves no part of a copy", function()
    support.run(function(dir)
      local file <close> = fs.open(dir .. "/a", "w")
      file:truncate(1 << 33)
      local task = async.create_task(function() fs.copy(dir .. "/a", dir .. "/b") end)
      support.wait_until(function() return fs.exists(dir .. "/b") end)
      task:cancel()
      support.wait_until(function() return not fs.exists(dir .. "/b") end) -- the thread ends on its own, soon
      assert.is_true(task:cancelled())

      fs.mkdir(dir .. "/folder")
      assert.equal("read", os_error("EISDIR", dir .. "/folder", fs.copy, dir .. "/folder", dir .. "/b").syscall)
      assert.is_false(fs.exists(dir .. "/b"))
      local err = os_error("ENOENT", dir .. "/none", fs.copy, dir .. "/none", dir .. "/b")
      assert.equal(dir .. "/b", err.path2)
      assert.is_false(fs.exists(dir .. "/b"))
    end)
  end)

  it("raises OSError where the disk is full, and removes no device", function()
    if not os.execute("test -e /dev/full") then return pending("no /dev/full") end
    support.run(function(dir)
      helpers.write_file(dir .. "/a", "text")
      assert.equal("write", os_error("ENOSPC", dir .. "/a", fs.copy, dir .. "/a", "/dev/full").syscall)
      assert.equal("char", fs.stat("/dev/full").type)
    end)
  end)
end)

describe("fs.write_file, atomic", function()
  it("replaces the file, whose mode the new one has", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "new", { atomic = true })
      fs.chmod(dir .. "/a", 416)
      local before = fs.stat(dir .. "/a")
      fs.write_file(dir .. "/a", "newer", { atomic = true })
      local after = fs.stat(dir .. "/a")
      assert.are_not.equal(before.ino, after.ino)
      assert.equal(416, after.mode)
      assert.equal("newer", fs.read_file(dir .. "/a"))
      fs.write_file(dir .. "/a", "", { atomic = true, mode = 420 })
      assert.equal("644", mode_of(dir .. "/a"))
      assert.same({ "a" }, fs.listdir(tostring(dir)))
    end)
  end)

  it("takes a name in the current directory", function()
    local dir <close> = support.directory()
    helpers.write_file(dir .. "/program", [[
      local async, fs = require "luawait", require "luawait.fs"
      async.run(function() fs.write_file("a", "new", { atomic = true }) end)]])
    support.shell("cd '%s' && '%s' program && rm program", dir, os.getenv("LUA") or "lua5.4")
    assert.equal("a\n", support.shell("ls -A '%s'", dir))
    assert.equal("new", helpers.read_file(dir .. "/a"))
  end)

  it("that fails leaves the old file, and no other", function()
    support.run(function(dir)
      fs.mkdir(dir .. "/a/b", { parents = true })
      local err = os_error("EISDIR", dir .. "/a", fs.write_file, dir .. "/a", "x", { atomic = true })
      assert.equal("rename", err.syscall)
      assert.same({ "a" }, fs.listdir(tostring(dir)))
    end)
  end)

  it("that is cancelled has replaced the file or not, and leaves no other", function()
    support.run(function(dir)
      local old, new = ("o"):rep(1 << 22), ("n"):rep(1 << 22)
      fs.write_file(dir .. "/a", old)
      for round = 1, helpers.scale(60) do
        local task = async.create_task(function() fs.write_file(dir .. "/a", new, { atomic = true }) end)
        for _ = 1, round % 12 do async.sleep(0.0005) end
        task:cancel()
        async.wait({ task })
        -- The thread ends on its own, soon.
        support.wait_until(function() return #fs.listdir(tostring(dir)) == 1 end)
        local content = fs.read_file(dir .. "/a")
        assert.is_true(content == old or content == new)
      end
    end)
  end)

  it("syncs the file before it takes the old one's place, and the directory after that", function()
    if not faults.available() then return pending("no linker with --wrap") end
    support.run(function(dir)
      local calls = faults.calls('local fs = require "luawait.fs"',
        ("fs.write_file(%q, 'new', { atomic = true })"):format(dir .. "/a"))
      local pattern = "write\tOSError.*uv_fs_fsync\tOSError.*uv_fs_rename\tOSError.*uv_fs_fsync\tOSError"
      assert.matches(pattern, calls)
    end)
  end)

  it("survives a kill at any point: the content is the old one or the new one", function()
    local dir <close> = support.directory()
    local seen, rounds = {}, helpers.scale(40)
    helpers.write_file(dir .. "/file", "0" .. ("x"):rep(300000))
    for round = 1, rounds do
      local program = ([[
        local async, fs = require "luawait", require "luawait.fs"
        async.run(function()
          for n = 1, 1000000 do fs.write_file(%q, (n %% 10) .. (%q):rep(300000), { atomic = true }) end
        end)]]):format(dir .. "/file", ("xyz"):sub(round % 3 + 1, round % 3 + 1))
      helpers.write_file(dir .. "/program", program)
      local command = ("timeout -s KILL %.3f '%s' '%s' 2>/dev/null"):format(0.03 + round % 10 * 0.007,
        os.getenv("LUA") or "lua5.4", dir .. "/program")
      os.execute("{ " .. command .. "; } 2>/dev/null")
      local content = helpers.read_file(dir .. "/file")
      local first, rest = content:match("^%d(.)(.*)$")
      assert.equal(300001, #content)
      assert.is_true(rest == first:rep(299999))
      seen[content:sub(1, 2)] = true
    end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.is_true(count > 1 or helpers.slow, "no child has written anything")
  end)
end)
