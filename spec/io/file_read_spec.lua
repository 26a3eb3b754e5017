-- Reading from a File: the formats of Lua's own read, what a cancellation leaves, files that grow.
local async = require "luawait"
local fs = require "luawait.fs"
local helpers = require "spec.support.helpers"
local support = require "spec.support.fs"

local function failure_text(fn, ...)
  return (helpers.failure_text(fn, ...):gsub("^[%w_/.]+:%d+: ", ""))
end

--- What a list of calls of read returns, one a line.
local function transcript(file, calls)
  local lines = {}
  for _, formats in ipairs(calls) do
    local results = table.pack(file:read(table.unpack(formats)))
    for i = 1, results.n do
      lines[#lines + 1] = ("%s %s"):format(math.type(results[i]) or type(results[i]), results[i])
    end
    lines[#lines + 1] = "--"
  end
  return table.concat(lines, "\n")
end

--- Both files, Lua's and this one, give the same.
local function compare(content, calls)
  support.run(function(dir)
    fs.write_file(dir .. "/a", content)
    local mine <close> = fs.open(dir .. "/a")
    local lua <close> = io.open(dir .. "/a", "rb")
    assert.equal(transcript(lua, calls), transcript(mine, calls))
  end)
end

describe("file:read does as Lua's:", function()
  it("lines", function()
    local calls = { {}, { "l" }, { "L" }, { "L" }, { "*l" }, { "l" }, { "l" }, { "L" } }
    compare("one\ntwo\nthree\r\n\nfive\n\0six\nlast", calls)
    compare("one\n\n\n", calls)
    compare("", calls)
  end)

  it("counts", function()
    compare(("0123456789"):rep(20000), { { 0 }, { 1 }, { 65536 }, { 1, 2, 3 }, { 70000 }, { 1000000 }, { 0 }, { 1 } })
  end)

  it("all, also at the end", function()
    compare("a\nb", { { "a" }, { "a" }, { "l" }, { 0 } })
    compare("a\nb", { { "l", "a" }, { "a", "l" } })
  end)

  it("several formats, up to the first that fails", function()
    compare("x 12\nline\nrest of it", { { 2, "n", "l", "L", 4, "a" } })
    compare("one\n", { { "l", "l", "l" }, { "a" } })
    compare("12 x 13", { { "n", "n", "n" }, { "a" } })
  end)

  it("numbers", function()
    for _, text in ipairs({
      "1", " 12 13", "-5", "+7", "0x10", "0xA.8p1 z", "1e5 ", "1e", "1e+", ".5", "5.", ".", "-", "--1", "0x", "0x.p1",
      "1.5.2", "12abc", "abc", "", "  ", "\t\n\v\f\r3\n", "1e400", "99999999999999999999", "nan", "inf", "1_0",
      "0x" .. ("f"):rep(30), "08", "1e5e5", "0b1",
    }) do
      compare(text, { { "n" }, { "a" } })
      compare(text .. "\n" .. text, { { "n", "l", "n" }, { "a" } })
    end
    compare((" "):rep(200000) .. "42 x", { { "n" }, { "a" } })
  end)

  it("lines that are long, or cut by the blocks that are read", function()
    local lines = {}
    for i = 1, 300 do lines[i] = ("x"):rep(i * 37 % 3000) end
    lines[301] = ("y"):rep(300000)
    local calls = {}
    for i = 1, 305 do calls[i] = { i % 2 == 0 and "l" or "L" } end
    compare(table.concat(lines, "\n"), calls)
  end)

  it("lines() with formats", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "1 2 3\nx")
      local file <close> = fs.open(dir .. "/a")
      local seen = {}
      for a, b in file:lines("n", 1) do seen[#seen + 1] = a .. b end
      assert.same({ "1 ", "2 ", "3\n" }, seen)
      file:seek("set")
      seen = {}
      for line in file:lines("L") do seen[#seen + 1] = line end
      assert.same({ "1 2 3\n", "x" }, seen)
    end)
  end)

  it("but names the format that is wrong", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "abc")
      local file <close> = fs.open(dir .. "/a")
      assert.equal("bad argument #1 to 'read' (invalid format)", failure_text(function() file:read("x") end))
      assert.equal("bad argument #2 to 'read' (invalid format)", failure_text(function() file:read("l", "") end))
      assert.equal("bad argument #1 to 'read' (count of 0 or more bytes expected, got -1)",
        failure_text(function() file:read(-1) end))
      assert.equal("bad argument #2 to 'read' (string expected, got table)",
        failure_text(function() file:read("l", {}) end))
      assert.equal("abc", file:read("a"))
    end)
  end)
end)

describe("a read", function()
  it("of a file that has ended sees what was added since", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "one\ntw")
      local file <close> = fs.open(dir .. "/a")
      assert.same({ "one", "tw" }, { file:read("l", "l") })
      assert.is_nil(file:read())
      fs.write_file(dir .. "/a", "o\nthree\n", { append = true })
      assert.same({ "o", "three" }, { file:read("l", "l") })
    end)
  end)

  it("of a huge count takes no more memory than the file has bytes", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", ("x"):rep(100000))
      local file <close> = fs.open(dir .. "/a")
      assert.equal(100000, #file:read(math.maxinteger))
    end)
  end)

  it("that fails raises OSError", function()
    support.run(function(dir)
      local file <close> = fs.open(tostring(dir))
      assert.equal("read", support.os_error("EISDIR", tostring(dir), file.read, file).syscall)
      assert.equal("directory", file:stat().type)
    end)
  end)

  it("gives what is there, and waits only for what is not", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", ("line\n"):rep(100))
      local file <close> = fs.open(dir .. "/a")
      file:read()
      local ran = false
      async.call_soon(function() ran = true end)
      for _ = 1, 99 do assert.equal("line", file:read()) end
      assert.is_false(ran)
    end)
  end)
end)

describe("a cancelled read", function()
  it("loses no byte: what it has read is there for the next one", function()
    support.run(function(dir)
      local parts = {}
      for i = 1, 60000 do parts[i] = ("%d\n"):format(i * 2654435761 % 4294967296) end
      local content = table.concat(parts)
      fs.write_file(dir .. "/a", content)
      local formats = { "l", "L", "a", "n", 1, 100, 100000 }
      for round = 1, helpers.scale(200) do
        local file <close> = fs.open(dir .. "/a")
        local before = file:read(round * 61 % 5000) or ""
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = async.create_task(function() return file:read(formats[(round + i) % #formats + 1]) end)
        end
        for _ = 1, round % 5 do async.sleep(0) end
        for _, task in ipairs(tasks) do task:cancel() end
        async.wait(tasks)
        local none = true
        for _, task in ipairs(tasks) do none = none and task:cancelled() end
        if none then
          assert.equal(#before, file:seek())
          assert.is_true(before .. file:read("a") == content)
        end
      end
    end)
  end)

  it("of several formats takes none", function()
    support.run(function(dir)
      fs.write_file(dir .. "/a", "one\n" .. ("x"):rep(1 << 21))
      local cancelled = 0
      for round = 1, 30 do
        local file <close> = fs.open(dir .. "/a")
        local task = async.create_task(function() return file:read("l", "a", "l") end)
        for _ = 0, round % 10 do async.sleep(0) end
        task:cancel()
        async.wait({ task })
        if task:cancelled() then
          cancelled = cancelled + 1
          assert.equal("one", file:read())
        end
      end
      assert.is_true(cancelled > 0)
    end)
  end)

  it("of a pipe leaves what comes to the next one", function()
    support.run(function(dir)
      assert(os.execute(("mkfifo '%s'"):format(dir .. "/pipe")))
      assert(os.execute(("(sleep 0.2; echo first; echo second) >'%s' &"):format(dir .. "/pipe")))
      local file <close> = fs.open(dir .. "/pipe")
      assert.equal("TimeoutError", helpers.failure_kind(async.timeout, 0.05, file.read, file))
      assert.same({ "first", "second" }, { file:read("l", "l") })
      assert.is_nil(file:read())
    end)
  end)
end)
