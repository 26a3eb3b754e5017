-- What a path names: stat and its kin, directories, links, attributes.
local async = require "luawait"
local fs = require "luawait.fs"
local helpers = require "spec.support.helpers"
local net = require "luawait.net"
local support = require "spec.support.fs"

local failure_text, os_error = helpers.failure_text, support.os_error

local function is_root() return support.shell("id -u"):match("%d+") == "0" end

describe("fs.stat", function()
  it("tells what the system knows", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", "12345")
      local stat = fs.stat(dir .. "/a")
      local told = support.shell("stat -c '%%s %%i %%u %%g %%h %%a %%Y' '%s'", dir .. "/a")
      assert.equal(told:match("[^\n]+"), ("%d %d %d %d %d %o %d"):format(stat.size, stat.ino, stat.uid, stat.gid,
        stat.nlink, stat.mode, stat.mtime // 1))
      assert.equal("file", stat.type)
      assert.same({ "float", "integer" }, { math.type(stat.mtime), math.type(stat.dev) })
    end)
  end)

  it("tells the types apart, and lstat does not follow links", function()
    support.run(function(dir)
      fs.symlink("nowhere", dir .. "/link")
      fs.symlink(tostring(dir), dir .. "/to_dir")
      assert.equal("link", fs.lstat(dir .. "/link").type)
      assert.equal("directory", fs.stat(dir .. "/to_dir").type)
      assert.equal("char", fs.stat("/dev/null").type)
      os_error("ENOENT", dir .. "/link", fs.stat, dir .. "/link")
    end)
  end)

  it("tells the types of what is neither file nor directory", function()
    support.run(function(dir)
      support.shell("mkfifo '%s'", dir .. "/fifo")
      local server <close> = net.serve_unix(dir .. "/socket", function() end)
      assert.same({ "fifo", "socket" }, { fs.stat(dir .. "/fifo").type, fs.stat(server:address()).type })
      local find = "mknod '%s' b 7 0 2>/dev/null && echo '%s' || find /dev -type b 2>/dev/null | head -n 1"
      local block = support.shell(find, dir .. "/block", dir .. "/block"):match("[^\n]+")
      assert.is_true(not block or fs.stat(block).type == "block") -- few machines have none, and let nobody make one
    end)
  end)

  it("meets a loop of links with ELOOP", function()
    support.run(function(dir)
      fs.symlink("b", dir .. "/a")
      fs.symlink("a", dir .. "/b")
      os_error("ELOOP", dir .. "/a", fs.stat, dir .. "/a")
      os_error("ELOOP", dir .. "/a", fs.read_file, dir .. "/a")
      os_error("ELOOP", dir .. "/a", fs.realpath, dir .. "/a")
      assert.is_false(fs.exists(dir .. "/a"))
    end)
  end)

  it("takes names that are not UTF-8", function()
    support.run(function(dir)
      local name = dir .. "/\255\254 \n'\"\\"
      fs.write_file(name, "x")
      assert.equal(1, fs.stat(name).size)
      assert.same({ "\255\254 \n'\"\\" }, fs.listdir(tostring(dir)))
      local err = os_error("ENOENT", name .. "\200", fs.stat, name .. "\200")
      assert.is_truthy(err.message:find(name .. "\200", 1, true))
    end)
  end)
end)

describe("fs.exists and fs.access", function()
  it("answer, and raise only where there is no telling", function()
    support.run(function(dir)
      helpers.write_file(dir .. "/a", "")
      fs.symlink("none", dir .. "/dangling")
      assert.is_true(fs.exists(dir .. "/a"))
      assert.is_true(fs.exists(tostring(dir)))
      assert.is_false(fs.exists(dir .. "/b"))
      assert.is_false(fs.exists(dir .. "/a/b"))
      assert.is_false(fs.exists(dir .. "/dangling"))
      os_error("ENAMETOOLONG", nil, fs.exists, dir .. "/" .. ("x"):rep(300))
      assert.is_true(fs.access(dir .. "/a"))
      assert.is_true(fs.access(dir .. "/a", "rw"))
      assert.is_false(fs.access(dir .. "/a", "x"))
      assert.is_false(fs.access(dir .. "/none", "r"))
      assert.equal("bad argument #2 to 'access' (letters of \"rwx\" expected, got \"q\")",
        failure_text(fs.access, "a", "q"))
      assert.equal("bad argument #2 to 'access' (string without zeros expected)", failure_text(fs.access, "a", "r\0"))
    end)
  end)

  it("meet missing permissions", function()
    local as_other = is_root() and "setpriv --reuid 65534 --regid 65534 --clear-groups" or ""
    local dir <close> = support.directory()
    os.execute(("chmod 755 '%s'"):format(dir))
    helpers.write_file(dir .. "/secret", "x")
    os.execute(("cd '%s'; mkdir closed; chmod 000 closed secret"):format(dir))
    helpers.write_file(dir .. "/program", ([[
      local async, fs = require "luawait", require "luawait.fs"
      local dir = %q
      async.run(function()
        local function code(fn, ...) return select(2, pcall(fn, ...)).code end
        print(code(fs.read_file, dir .. "/secret"), code(fs.listdir, dir .. "/closed"),
          code(fs.exists, dir .. "/closed/a"), fs.access(dir .. "/secret", "r"), fs.access(dir .. "/secret"),
          code(fs.write_file, dir .. "/secret", "y"),
          code(fs.chown, dir .. "/program", 0, 0), #fs.glob(dir .. "/*/*"))
      end)]]):format(tostring(dir)))
    local output = support.shell("%s '%s' '%s' 2>&1 || true", as_other, os.getenv("LUA") or "lua5.4", dir .. "/program")
    if output:find("cannot open") or output:find("not found") then return pending("no other user can be had here") end
    assert.equal("EACCES\tEACCES\tEACCES\tfalse\ttrue\tEACCES\t" .. (is_root() and "EPERM" or "nil") .. "\t0\n", output)
  end)
end)

describe("fs.mkdir and fs.rmdir", function()
  it("make and remove directories", function()
    support.run(function(dir)
      fs.mkdir(dir .. "/a", { mode = 448 })
      assert.equal(448, fs.stat(dir .. "/a").mode)
      os_error("EEXIST", dir .. "/a", fs.mkdir, dir .. "/a")
      fs.mkdir(dir .. "/a", { exist_ok = true })
      os_error("ENOENT", dir .. "/b/c", fs.mkdir, dir .. "/b/c")
      os_error("ENOTEMPTY", tostring(dir), fs.rmdir, tostring(dir))
      fs.rmdir(dir .. "/a")
      assert.is_false(fs.exists(dir .. "/a"))
    end)
  end)

  it("make the parents that are missing", function()
    support.run(function(dir)
      fs.mkdir(dir .. "/a//b/c/", { parents = true })
      assert.equal("directory", fs.stat(dir .. "/a/b/c").type)
      os_error("EEXIST", nil, fs.mkdir, dir .. "/a/b/c", { parents = true })
      fs.mkdir(dir .. "/a/b/c/d", { parents = true, exist_ok = true })
      helpers.write_file(dir .. "/file", "")
      os_error("EEXIST", nil, fs.mkdir, dir .. "/file", { exist_ok = true })
      os_error("EEXIST", nil, fs.mkdir, dir .. "/file/a", { parents = true })
      fs.symlink("none", dir .. "/dangling")
      os_error("EEXIST", nil, fs.mkdir, dir .. "/dangling", { exist_ok = true })
      os_error("ENOENT", "", fs.mkdir, "", { parents = true })
    end)
  end)
end)

describe("names", function()
  it("are moved, removed, copied and linked", function()
    support.run(function(dir)
      local a, b, c = dir .. "/a", dir .. "/b", dir .. "/c"
      fs.write_file(a, "text", { mode = 384 })
      fs.rename(a, b)
      assert.is_false(fs.exists(a))
      fs.copy(b, c)
      assert.equal("text", fs.read_file(c))
      assert.equal(384, fs.stat(c).mode)
      os_error("EEXIST", b, fs.copy, b, c, { exclusive = true })
      fs.link(b, a)
      assert.equal(2, fs.stat(a).nlink)
      fs.remove(a)
      assert.equal(1, fs.stat(b).nlink)
      os_error("EISDIR", tostring(dir), fs.remove, tostring(dir))
    end)
  end)

  it("stand both in the error", function()
    support.run(function(dir)
      local err = os_error("ENOENT", dir .. "/a", fs.rename, dir .. "/a", dir .. "/b")
      assert.same({ dir .. "/b", "rename" }, { err.path2, err.syscall })
    end)
  end)

  it("are read: readlink, realpath", function()
    support.run(function(dir)
      local real = fs.realpath(tostring(dir))
      fs.mkdir(dir .. "/a")
      fs.symlink("a/../a", dir .. "/link")
      assert.equal("a/../a", fs.readlink(dir .. "/link"))
      assert.equal(real .. "/a", fs.realpath(dir .. "/link"))
      os_error("EINVAL", dir .. "/a", fs.readlink, dir .. "/a")
    end)
  end)
end)

describe("attributes", function()
  it("are changed: chmod, chown, utime", function()
    support.run(function(dir)
      local path = dir .. "/a"
      helpers.write_file(path, "")
      fs.chmod(path, 256)
      assert.equal(256, fs.stat(path).mode)
      fs.chown(path, -1, -1)
      if is_root() then
        fs.chown(path, 12, 34)
        assert.same({ 12, 34 }, { fs.stat(path).uid, fs.stat(path).gid })
        assert.equal("bad argument #3 to 'chown' (integer from -1 to 4294967294 expected, got 4294967295)",
          helpers.failure_text(fs.chown, path, 0, 4294967295))
      end
      fs.utime(path, 1000.5, 2000.25)
      assert.same({ 1000.5, 2000.25 }, { fs.stat(path).atime, fs.stat(path).mtime })
      fs.utime(path)
      assert.is_true(math.abs(fs.stat(path).mtime - os.time()) < 100)
    end)
  end)

  it("are checked before anything happens", function()
    helpers.run(function()
      assert.equal("bad argument #2 to 'chmod' (number expected, got string)", failure_text(fs.chmod, "a", "rwx"))
      assert.equal("bad argument #2 to 'chmod' (integer from 0 to 4095 expected, got -1)",
        failure_text(fs.chmod, "a", -1))
      assert.equal("bad argument #2 to 'chmod' (integer from 0 to 4095 expected, got 4096)",
        failure_text(fs.chmod, "a", 4096))
      for _, time in ipairs({ 0 / 0, -1e12, 1e12 }) do
        assert.equal("bad argument #2 to 'utime' (seconds since 1970 expected)", failure_text(fs.utime, "a", time))
      end
      for _, name in ipairs({ "rename", "copy", "link", "symlink" }) do
        assert.equal(("bad argument #2 to '%s' (string without zeros expected)"):format(name),
          failure_text(fs[name], "a", "\0"))
      end
    end)
  end)
end)

describe("fs.mkdtemp and fs.mkstemp", function()
  it("make what is not there yet", function()
    support.run(function(dir)
      local one, two = fs.mkdtemp(dir .. "/x-"), fs.mkdtemp(dir .. "/x-")
      assert.are_not.equal(one, two)
      assert.is_truthy(one:find(dir .. "/x%-......$"))
      assert.same({ "directory", 448 }, { fs.stat(one).type, fs.stat(one).mode })
      local file, path = fs.mkstemp(dir .. "/y-")
      file:write("hello")
      assert.equal("hello", file:seek("set") == 0 and file:read("a"))
      assert.equal(("<File %s open>"):format(path), tostring(file))
      file:close()
      assert.equal(384, fs.stat(path).mode)
      local elsewhere = fs.mkdtemp()
      assert.is_true(fs.exists(elsewhere))
      fs.rmdir(elsewhere)
      os_error("ENOENT", nil, fs.mkdtemp, dir .. "/none/x")
      os_error("ENOENT", nil, fs.mkstemp, dir .. "/none/x")
      assert.equal("bad argument #1 to 'mkdtemp' (string expected, got boolean)", failure_text(fs.mkdtemp, true))
    end)
  end)

  it("tell that the name of the system's directory is too long", function()
    local said = helpers.child_output([[
      local fs, helpers = require "luawait.fs", require "spec.support.helpers"
      async.run(function()
        for _, make in ipairs({ fs.mkdtemp, fs.mkstemp }) do
          local err = helpers.failure(make)
          print(err.name, err.code, err.syscall)
        end
      end)]], { env = { TMPDIR = ("x"):rep(5000) } })
    assert.equal(("OSError\tENOBUFS\ttmpdir\n"):rep(2), said)
  end)
end)

describe("any of them", function()
  it("does nothing where nothing can wait", function()
    local dir <close> = support.directory()
    local path = dir .. "/a"
    local calls = {
      open = { "w" }, mkstemp = {}, mkdtemp = {}, mkdir = {}, write_file = { "x" }, symlink = { path }, stat = {},
      lstat = {}, exists = {}, access = {}, rmdir = {}, remove = {}, rename = { path }, link = { path }, readlink = {},
      realpath = {}, chmod = { 0 }, chown = { -1, -1 }, utime = { 0 }, scandir = {}, listdir = {}, rmtree = {},
      copy = { path },
    }
    for name, arguments in pairs(calls) do
      assert.matches("RuntimeError: .*outside a task", failure_text(fs[name], path, table.unpack(arguments)))
    end
    helpers.collect_garbage()
    assert.equal("", support.shell("ls -A '%s'", dir))
  end)

  it("can be cancelled", function()
    support.run(function(dir)
      local calls = {
        function() fs.stat(tostring(dir)) end, function() fs.realpath(tostring(dir)) end,
        function() fs.mkdir(dir .. "/m", { exist_ok = true }) end, function() fs.listdir(tostring(dir)) end,
        function() fs.rmtree(dir .. "/m") end, function() fs.mkstemp(dir .. "/t") end,
        function() fs.open(dir .. "/o", "w") end, function() fs.copy(dir .. "/o", dir .. "/p") end,
      }
      for round = 1, helpers.scale(200) do
        local tasks = {}
        for i, call in ipairs(calls) do tasks[i] = async.create_task(call) end
        for _ = 1, round % 4 do async.sleep(0) end
        for _, task in ipairs(tasks) do task:cancel() end
        async.wait(tasks)
        for _, task in ipairs(tasks) do
          if not task:cancelled() and task:exception() then assert.equal("OSError", task:exception().name) end
        end
      end
      helpers.collect_garbage()
      async.sleep(0.05)
    end)
  end)
end)
