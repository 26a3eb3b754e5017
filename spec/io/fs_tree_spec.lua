-- Directories: scandir, listdir, walk, glob, rmtree.
local async = require "luawait"
local fs = require "luawait.fs"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"
local net = require "luawait.net"
local support = require "spec.support.fs"

local failure_text, os_error = helpers.failure_text, support.os_error

--- Makes files (and, where a name ends with "/", directories) below `dir`.
local function make(dir, names)
  for name in names:gmatch("%S+") do
    local path = dir .. "/" .. name
    fs.mkdir(path:match("^(.*)/"), { parents = true, exist_ok = true })
    if name:sub(-1) ~= "/" then fs.write_file(path, name) end
  end
end

local function sorted(list)
  table.sort(list)
  return list
end

describe("fs.scandir", function()
  it("gives names and types", function()
    support.run(function(dir)
      make(dir, "file .hidden sub/")
      fs.symlink("file", dir .. "/link")
      assert(os.execute(("mkfifo '%s'"):format(dir .. "/pipe")))
      local server <close> = net.serve_unix(dir .. "/socket", function() end)
      assert.is_truthy(server)
      local seen = {}
      for name, type in fs.scandir(tostring(dir)) do seen[#seen + 1] = name .. " " .. type end
      assert.same({ ".hidden file", "file file", "link link", "pipe fifo", "socket socket", "sub directory" },
        sorted(seen))
      local types = {}
      for name, type in fs.scandir("/dev") do types[name] = type end
      assert.equal("char", types.null)
    end)
  end)

  it("looks the types up where the file system does not tell them", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local dir <close> = support.directory()
    helpers.run(function()
      make(dir, "file sub/file sub/deep/file")
      fs.symlink("sub", dir .. "/link")
      support.shell("mkfifo '%s'", dir .. "/pipe")
    end)
    local said = faults.child_output(([[
      local async, fs = require "luawait", require "luawait.fs"
      local plans, dir = require("luawait.core").call_faults, %q
      local function types()
        local seen = {}
        for name, type in fs.scandir(dir) do seen[#seen + 1] = name .. " " .. type end
        table.sort(seen)
        return table.concat(seen, ", ")
      end
      async.run(function()
        plans.typeless(true)
        print(types())
        print(#fs.glob(dir .. "/**/file"))
        local n, text, hit = 0, nil, nil
        repeat -- until one is gone when its type is looked up
          n = n + 1
          plans.plan(n)
          text = select(2, pcall(types))
          hit = plans.state().hit
          plans.plan(0)
        until hit == "fstatat"
        print((select(2, text:gsub("unknown", ""))))
        fs.rmtree(dir .. "/sub")
        print(fs.exists(dir .. "/sub"))
      end)]]):format(tostring(dir)))
    local types = "file file, link link, pipe fifo, sub directory"
    assert.equal(types .. "\n3\n1\nfalse\n", said)
  end)

  it("tells that there is no memory for the names", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local dir <close> = support.directory()
    helpers.run(function() for n = 10, 30 do make(dir, ("x"):rep(250) .. n) end end)
    local before, source = 'local fs = require "luawait.fs"', ("fs.listdir(%q)"):format(tostring(dir))
    local calls = faults.calls(before, source)
    assert.is_true(select(2, calls:gsub("malloc\tOSError\n", "")) > 1, calls)
    assert.is_nil(calls:find("well"), calls)
  end)

  it("may be left early, and be empty", function()
    support.run(function(dir)
      for _ in fs.scandir(tostring(dir)) do error("there is nothing") end
      make(dir, "a b c")
      for _ = 1, 3 do
        local next_entry <close> = fs.scandir(tostring(dir))
        assert.is_truthy(next_entry())
      end
    end)
  end)

  it("raises OSError at once", function()
    support.run(function(dir)
      assert.equal("opendir", os_error("ENOENT", dir .. "/none", fs.scandir, dir .. "/none").syscall)
      make(dir, "file")
      os_error("ENOTDIR", dir .. "/file", fs.listdir, dir .. "/file")
      assert.equal("bad argument #1 to 'listdir' (string expected, got nil)", failure_text(fs.listdir, nil))
    end)
  end)

  it("of 100,000 entries costs what they cost, and no more", function()
    support.run(function(dir)
      local count = helpers.slow and 10000 or 100000
      local function seconds(path)
        local start = async.time()
        return #fs.listdir(path), async.time() - start
      end
      local fill = "mkdir %s && cd %s && seq -f 'a name of some length %%.0f' %d | xargs -d '\\n' touch && cd .."
      assert(os.execute(("cd '%s' && %s && %s"):format(dir, fill:format("few", "few", count // 10),
        fill:format("many", "many", count))))
      local few, few_seconds = seconds(dir .. "/few")
      local many, many_seconds = seconds(dir .. "/many")
      assert.same({ count // 10, count }, { few, many })
      assert.is_true(many_seconds < 10 + 50 * few_seconds, ("%.3f s, %.3f s"):format(few_seconds, many_seconds))
      local seen, n = {}, 0
      for name in fs.scandir(dir .. "/many") do
        n = n + (seen[name] and 0 or 1)
        seen[name] = true
      end
      assert.equal(count, n)
      fs.rmtree(dir .. "/many")
      assert.same({ "few" }, fs.listdir(tostring(dir)))
    end)
  end)
end)

describe("fs.walk", function()
  local function walked(dir, opts, change)
    local lines = {}
    for path, dirs, files in fs.walk(tostring(dir), opts) do
      table.sort(dirs)
      lines[#lines + 1] = ("%s: %s; %s"):format(path:sub(#tostring(dir) + 1), table.concat(dirs, " "),
        table.concat(sorted(files), " "))
      if change then change(path, dirs) end
    end
    return lines
  end

  it("goes top down, and lets the caller leave out directories", function()
    support.run(function(dir)
      make(dir, "a/b/c1 a/b/c2 a/d/ e f/g/h")
      assert.same({ ": a f; e", "/a: b d; ", "/a/b: ; c1 c2", "/a/d: ; ", "/f: g; ", "/f/g: ; h" }, walked(dir))
      assert.same({ ": a f; e", "/f: g; ", "/f/g: ; h" }, walked(dir, nil, function(_, dirs)
        if dirs[1] == "a" then table.remove(dirs, 1) end
      end))
    end)
  end)

  it("goes bottom up", function()
    support.run(function(dir)
      make(dir, "a/b/c e")
      assert.same({ "/a/b: ; c", "/a: b; ", ": a; e" }, walked(dir, { bottom_up = true }))
    end)
  end)

  it("follows links only when it is told to, and each directory once", function()
    support.run(function(dir)
      make(dir, "a/b/c")
      fs.symlink("..", dir .. "/a/up")
      fs.symlink("none", dir .. "/a/dangling")
      assert.same({ ": a; ", "/a: b; dangling up", "/a/b: ; c" }, walked(dir))
      assert.same({ ": a; ", "/a: b up; dangling", "/a/b: ; c" }, walked(dir, { follow = true }))
    end)
  end)

  it("raises what goes wrong, or hands it to on_error", function()
    support.run(function(dir)
      os_error("ENOENT", dir .. "/none", function() for _ in fs.walk(dir .. "/none") do end end)
      make(dir, "a/x b/")
      local codes = {}
      local function remove_a(_, dirs) if dirs[1] == "a" then fs.rmtree(dir .. "/a") end end
      local lines = walked(dir, { on_error = function(err) codes[#codes + 1] = err.code end }, remove_a)
      assert.same({ ": a b; ", "/b: ; " }, lines)
      assert.same({ "ENOENT" }, codes)
      assert.equal("bad argument #2 to 'walk' (option 'follow': boolean expected, got number)",
        failure_text(fs.walk, "a", { follow = 1 }))
    end)
  end)
end)

describe("fs.glob", function()
  it("matches as a shell does", function()
    support.run(function(dir)
      make(dir, "a.lua b.lua c.txt .hidden.lua sub/d.lua sub/deep/e.lua sub/deep/[x] ä.lua äöü")
      fs.symlink("sub", dir .. "/link")
      local function found(pattern, opts)
        local names = fs.glob(dir .. "/" .. pattern, opts)
        for i, path in ipairs(names) do names[i] = path:sub(#tostring(dir) + 2) end
        return table.concat(names, " ")
      end
      assert.equal("a.lua b.lua ä.lua", found("*.lua"))
      assert.equal(".hidden.lua", found(".*"))
      assert.equal(".hidden.lua a.lua b.lua ä.lua", found("*.lua", { hidden = true }))
      assert.equal("a.lua b.lua ä.lua", found("?.lua"))
      assert.equal("sub äöü", found("???"))
      assert.equal("a.lua b.lua", found("[a-z].lua"))
      assert.equal("b.lua c.txt ä.lua", found("[!a].*"))
      assert.equal("ä.lua", found("[ä].lua"))
      assert.equal("link/d.lua sub/d.lua", found("*/*.lua"))
      assert.equal("a.lua b.lua sub/d.lua sub/deep/e.lua ä.lua", found("**/*.lua"))
      assert.equal("sub/deep/e.lua", found("**/deep/*.lua"))
      assert.equal("sub/deep sub/deep/e.lua", found("**/**/*ee*/**/e.lua") == "sub/deep/e.lua" and found("sub/**/*e*"))
      assert.equal("sub/deep/[x]", found("sub/deep/[[]x]"))
      assert.equal("sub/d.lua sub/deep sub/deep/[x] sub/deep/e.lua", found("sub/**"))
      assert.equal("c.txt", found("c.txt"))
      assert.equal("", found("none*"))
      assert.equal("", found("none/*"))
      assert.equal("", found("a.lua/*"))
      assert.equal("", found("[z-a].lua"))
      assert.equal("link/ sub/", found("*/"))
      assert.equal("sub/deep/", found("sub/**/deep/"))
      assert.equal("", found("a.lua/"))
    end)
  end)

  it("counts a byte that belongs to no character as one", function()
    support.run(function(dir)
      for _, name in ipairs { "20\xB0C", "\x80\x80", "ä\x80", "\xE2\x82" } do fs.write_file(dir .. "/" .. name, "") end
      local function found(pattern) return #fs.glob(dir .. "/" .. pattern) end
      assert.same({ 1, 1, 3 }, { found("20*"), found("20?C"), found("??") })
      assert.same({ 1, 1, 4 }, { found("ä*"), found("\x80*"), found("*") })
    end)
  end)

  it("takes patterns without a directory, and from the root", function()
    helpers.run(function()
      assert.same({ "README.md" }, fs.glob("READ*.md"))
      assert.same({ "/dev/null" }, fs.glob("/d[e]v/nul?"))
      assert.same({}, fs.glob(""))
      assert.same({ "/" }, fs.glob("/"))
      assert.same({ "/dev/" }, fs.glob("/de[v]/"))
      assert.equal("bad argument #1 to 'glob' (string without zeros expected)", failure_text(fs.glob, "\0"))
    end)
  end)

  it("does not take for ever over many stars", function()
    support.run(function(dir)
      make(dir, ("a"):rep(200))
      assert.same({}, fs.glob(dir .. "/" .. ("*a"):rep(40) .. "b"))
    end)
  end)
end)

describe("fs.rmtree", function()
  it("removes all, and never what a link leads to", function()
    support.run(function(dir)
      make(dir, "tree/a/b/c tree/.d tree/e/ kept/file slashed/a")
      fs.rmtree(dir .. "/slashed//")
      fs.symlink(dir .. "/kept", dir .. "/tree/a/link")
      fs.symlink("../kept/file", dir .. "/tree/link")
      fs.symlink("none", dir .. "/tree/dangling")
      assert(os.execute(("mkfifo '%s'"):format(dir .. "/tree/pipe")))
      fs.rmtree(dir .. "/tree")
      assert.same({ "kept" }, fs.listdir(tostring(dir)))
      assert.same({ "file" }, fs.listdir(dir .. "/kept"))
    end)
  end)

  it("takes directories only", function()
    support.run(function(dir)
      make(dir, "file kept/file")
      fs.symlink("kept", dir .. "/link")
      os_error("ENOTDIR", dir .. "/file", fs.rmtree, dir .. "/file")
      assert.equal("OSError", helpers.failure_kind(fs.rmtree, dir .. "/link"))
      assert.equal("OSError", helpers.failure_kind(fs.rmtree, dir .. "/link/"))
      os_error("ENOENT", dir .. "/none", fs.rmtree, dir .. "/none")
      assert.same({ "file" }, fs.listdir(dir .. "/kept"))
    end)
  end)

  it("names what it could not remove", function()
    support.run(function()
      local err = helpers.failure(fs.rmtree, "/proc/self/fdinfo")
      assert.equal("OSError", helpers.kind(err))
      assert.is_truthy(err.path:find("^/proc/self/fdinfo/%d+$"), err.path)
    end)
  end)

  it("names the directory where there is no memory for more", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local said = faults.child_output([[
      local async, fs, helpers = require "luawait", require "luawait.fs", require "spec.support.helpers"
      local plans = require("luawait.core").call_faults
      async.run(function()
        local code, n = helpers.failure(fs.rmtree, "/proc/self/fdinfo").code, 0
        repeat
          n = n + 1
          plans.plan(n)
          local err = helpers.failure(fs.rmtree, "/proc/self/fdinfo")
          local hit = plans.state().hit
          plans.plan(0)
          if hit == "malloc" then print(err.path, err.code == code) end
        until not hit
      end)]])
    assert.equal(("/proc/self/fdinfo\ttrue\n"):rep(2), said)
  end)

  it("goes deep", function()
    support.run(function(dir)
      assert(os.execute(("cd '%s' && for i in $(seq 300); do mkdir d && cd d; done"):format(dir)))
      fs.rmtree(dir .. "/d")
      assert.same({}, fs.listdir(tostring(dir)))
    end)
  end)

  it("follows no link that takes a directory's place meanwhile", function()
    support.run(function(dir)
      make(dir, "kept/precious kept/sub/precious swap/")
      fs.symlink(dir .. "/kept", dir .. "/swap/link")
      -- Another process exchanges directories of the tree for links to what must be kept, as fast as it can.
      helpers.write_file(dir .. "/swap.sh", ([[
        cd '%s'
        while [ ! -e stop ]; do
          for i in 0 1 2 3 4 5 6 7 8 9; do
            mv tree/$i swap/moved 2>/dev/null && ln -s '%s/kept' tree/$i 2>/dev/null; rm -rf swap/moved
          done
        done]]):format(dir, dir))
      assert(os.execute(("timeout 20 sh '%s' >/dev/null 2>&1 &"):format(dir .. "/swap.sh")))
      for _ = 1, helpers.scale(100) do
        for i = 0, 9 do pcall(make, dir, ("tree/%d/a/b tree/%d/c/ tree/%d/d"):format(i, i, i)) end
        pcall(fs.rmtree, dir .. "/tree")
        pcall(fs.rmtree, dir .. "/tree")
      end
      fs.write_file(dir .. "/stop", "")
      -- (Making the tree anew may have gone through a link: there may be more in it.)
      assert.is_true(fs.exists(dir .. "/kept/precious"))
      assert.is_true(fs.exists(dir .. "/kept/sub/precious"))
      async.sleep(0.3)
    end)
  end)

  it("that is cancelled stops", function()
    support.run(function(dir)
      assert(os.execute(("cd '%s' && mkdir many && cd many && seq 20000 | xargs touch"):format(dir)))
      local task = async.create_task(function() fs.rmtree(dir .. "/many") end)
      repeat async.sleep(0) until #fs.listdir(dir .. "/many") < 20000 or task:done()
      task:cancel()
      async.wait({ task })
      if task:cancelled() then
        local left
        repeat
          left = #fs.listdir(dir .. "/many")
          async.sleep(0.05)
        until #fs.listdir(dir .. "/many") == left
        assert.is_true(left > 0)
      end
    end)
  end)
end)
