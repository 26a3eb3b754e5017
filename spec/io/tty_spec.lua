local async = require "luawait"
local tty = require "luawait.tty"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"
local system = require "spec.support.system"

local failure_text = helpers.failure_text

local is_linux = helpers.read_file("/proc/self/stat") ~= ""
local lua = os.getenv("LUA") or "lua5.4"

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

--- A file with a program; `say` writes to the file whose name it gets as its first argument.
local function script(source)
  local path = os.tmpname()
  helpers.write_file(path, [[
local async = require "luawait"
local helpers = require "spec.support.helpers"
local signal = require "luawait.signal"
local tty = require "luawait.tty"
local path = ...
local function say(...)
  local said <close> = io.open(path, "a") -- which stays open no longer: it might stand where stdin is missing
  for i = 1, select("#", ...) do said:write(i > 1 and " " or "", tostring((select(i, ...)))) end
  said:write("\n")
end
local function failure(fn, ...) return select(2, pcall(fn, ...)) end
async.run(function()
]] .. source .. "\nend)\n")
  return path
end

--- The command that runs such a program; it can have its calls fail if it speaks of that.
local function command_of(source, path, said)
  local cpath = source:find("call_faults", 1, true) and faults.path or package.cpath
  return ("env LUA_CPATH=%s %s %s %s"):format(quote(cpath), quote(lua), path, said)
end

--- Runs a program in a shell command, where PROGRAM stands for it. Returns what it said, and what the command printed.
local function shell(command, source)
  local path, said = script(source), os.tmpname()
  local _ <close> = helpers.defer(function()
    os.remove(path)
    os.remove(said)
  end)
  local call = "timeout 60 " .. command_of(source, path, said)
  local printed = system.output(("(%s) 2>&1"):format(command:gsub("PROGRAM", (call:gsub("%%", "%%%%")))))
  return helpers.read_file(said), printed
end

--- Runs a program on a terminal, with the steps of support/terminal.py. Returns what it said, and what it printed.
local function terminal(source, ...)
  local path, said = script(source), os.tmpname()
  local _ <close> = helpers.defer(function()
    os.remove(path)
    os.remove(said)
  end)
  local words = { "${LUAWAIT_PYTHON:-python3} spec/support/terminal.py" }
  for _, step in ipairs({ ... }) do words[#words + 1] = quote(step) end
  words[#words + 1] = "-- " .. command_of(source, path, said)
  local printed = system.output(table.concat(words, " ") .. " 2>&1"):gsub("\r\n", "\n")
  return helpers.read_file(said), printed
end

local as_before = "terminal echo icanon isig blocking"

describe("stdin", function()
  it("is a stream when it is a pipe", function()
    assert.equal("one two three\n", shell("printf 'one\\ntwo three' | PROGRAM", [[
      say(tty.stdin():read_line(), tty.stdin():read_all())]]))
  end)

  it("is a stream when it is a file", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, "one\ntwo\r\n" .. ("x"):rep(1000000))
    local said = shell("PROGRAM <" .. path, [[
      local stream = tty.stdin()
      say(tostring(stream))
      say(stream:read_line(), stream:read_until("\n"):sub(1, 3), stream:read(4), #stream:read_exactly(500000))
      say(#stream:read_all(), stream:read(), stream:statistics().bytes_read)]])
    assert.equal("<Stream file open>\none two xxxx 500000\n499996 nil 1000009\n", said)
  end)

  it("is a stream when it is /dev/null", function()
    assert.equal(" nil\n", shell("PROGRAM </dev/null", [[ say(tty.stdin():read_all(), tty.stdin():read()) ]]))
  end)

  -- Has a socket for stdin.
  local with_socket = ([[${LUAWAIT_PYTHON:-python3} -c %s blocking PROGRAM]]):format(quote([[
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
ours.sendall(b"hello\n")
ours.shutdown(socket.SHUT_WR)
theirs.setblocking(sys.argv[1] == "blocking")
subprocess.run(sys.argv[2:], stdin=theirs)
print("blocking" if os.get_blocking(theirs.fileno()) else "not blocking")]]))

  it("is a stream when it is a socket, which blocks afterwards if it did before", function()
    for _, mode in ipairs({ "blocking", "not blocking" }) do
      local command = with_socket:gsub(" blocking PROGRAM", (" '%s' PROGRAM"):format(mode))
      local said, printed = shell(command, [[ say(tty.stdin():read_all()) ]])
      assert.equal("hello\n\n", said)
      assert.equal(mode, printed)
    end
  end)

  it("is an OSError when there is no descriptor for it, and can be had later", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local said, printed = shell(with_socket, [[
      local plans, n = require("luawait.core").call_faults, 0
      repeat
        n = n + 1
        plans.plan(n)
        local err = failure(tty.stdin)
        local hit = plans.state().hit
        plans.plan(0)
        if hit == "fcntl" and helpers.kind(err) == "OSError" then say(err.code, err.path) end
      until not hit
      say(tty.stdin():read_all())
      async.set_exception_handler(function(info) if info.message:find("dropped") then say(info.message) end end)
      collectgarbage()
      collectgarbage()
    end, { debug = true })
    async.run(function()]])
    assert.equal("EMFILE stdin\nEMFILE stdin\nhello\n\n", said)
    assert.equal("blocking", printed)
  end)

  it("tells that a file cannot be read, whichever call fails", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local said = shell("PROGRAM </dev/zero", [[
      local plans, n = require("luawait.core").call_faults, 0
      repeat
        n = n + 1
        plans.plan(n)
        local ok, result = pcall(function() return tty.stdin():read_exactly(200000) end) -- several blocks
        local hit = plans.state().hit
        plans.plan(0)
        tty.stdin():close()
        if hit then say(hit, ok and #result or helpers.kind(result)) end
      until not hit]])
    for name, least in pairs({ malloc = 2, read = 2, uv_queue_work = 2 }) do
      local _, count = said:gsub(name .. " OSError\n", "")
      assert.is_true(count >= least, said)
    end
    -- (Lua's own want of memory is a string. Reading ahead may fail where what is wanted has come.)
    local fine = { OSError = true, string = true, ["200000"] = true }
    for result in said:gmatch(" (%w+)\n") do
      assert.is_true(fine[result], said)
    end
  end)

  it("is empty when the program was started without it", function()
    assert.equal("\n", shell("PROGRAM <&-", [[ say(tty.stdin():read_all()) ]]))
  end)

  it("loses no byte of a file when a read is cancelled", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    local lines, count = {}, helpers.scale(100000)
    for i = 1, count do lines[i] = tostring(i) end
    helpers.write_file(path, table.concat(lines, "\n"))
    local said = shell("PROGRAM <" .. path, [[
      local stream, n, cancelled = tty.stdin(), 0, 0
      while true do
        local task = async.create_task(function() return stream:read_line() end)
        if n % 7 == 0 then async.sleep(0) task:cancel() end
        async.wait({ task })
        if task:cancelled() then
          cancelled = cancelled + 1
        else
          local line = task:result()
          if not line then break end
          n = n + 1
          if line ~= tostring(n) then return say("expected", n, "got", line) end
        end
        if cancelled > 20000 then break end
        if n % 7 == 0 then n = n + 1 assert(stream:read_line() == tostring(n)) end
      end
      say(n)]])
    assert.equal(count .. "\n", said)
  end)

  it("can be closed while a read of a file is under way", function()
    assert.equal("RuntimeError: stream is closed\n", shell("PROGRAM </dev/zero", [[
      local stream = tty.stdin()
      local task = async.create_task(function() return stream:read_exactly(1 << 40) end)
      async.sleep(0.01)
      stream:close()
      say(failure(async.await, task))]]))
  end)

  it("keeps the peer waiting while nobody reads", function()
    local said = shell("PROGRAM </dev/zero", [[
      tty.stdin():read(1)
      async.sleep(0.05)
      say(tty.stdin():statistics().buffered < 1000000)]])
    assert.equal("true\n", said)
  end)

  it("cannot be written to when it is for reading only", function()
    assert.equal("RuntimeError: the stream is for reading only\n", shell("PROGRAM </dev/null", [[
      say(failure(tty.stdin().write, tty.stdin(), "x"))]]))
  end)

  it("goes on where this program has stopped reading, for the next one", function()
    local over = os.tmpname()
    os.remove(over)
    local _ <close> = helpers.defer(function() os.remove(over) end)
    local writer = ("printf 'one\\n'; until [ -e %s ]; do sleep 0.01; done; printf 'two\\n'"):format(over)
    local _, printed = shell(("(%s) | (PROGRAM; touch %s; cat)"):format(writer, over), [[
      say(tty.stdin():read_line())]])
    assert.equal("two", printed)
  end)

  it("does not stay non-blocking, and is not during the run", function()
    if not is_linux then return pending("needs /proc") end
    for _, start in ipairs({ "sleep 0.5 | (PROGRAM; %s)", "(PROGRAM; %s) </dev/null" }) do
      local flags = "grep flags: /proc/self/fdinfo/0"
      local _, printed = shell(start:format(flags), ([[
        async.create_task(function() tty.stdin():read() end)
        async.sleep(0)
        os.execute("%s >&2")]]):format(flags))
      local count = 0
      for mask in printed:gmatch("flags:%s*(%d+)") do
        count = count + 1
        assert.equal(0, tonumber(mask, 8) & tonumber("4000", 8))
      end
      assert.equal(2, count)
    end
  end)
end)

describe("stdout and stderr", function()
  it("are streams when they are pipes", function()
    local _, printed = shell("PROGRAM | tr a-z A-Z", [[
      tty.stdout():write("out ", 1, "\n")
      tty.stderr():write("err\n")
      tty.stdout():flush()]])
    assert.matches("OUT 1", printed)
    assert.matches("err", printed)
  end)

  it("are streams when they are files", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    local said = shell(("PROGRAM >%s 2>>%s"):format(path, path), [[
      local big = ("x"):rep(300000)
      tty.stdout():write("one ", big, " ", big, "\n")
      tty.stdout():flush()
      say(tostring(tty.stdout()), tty.stdout():statistics().queued)
      say(failure(tty.stdout().read, tty.stdout()))
      tty.stderr():write("last\n")
      tty.stderr():shutdown()
      say(tty.stdout():is_closing())]])
    assert.equal("<Stream file open> 0\nRuntimeError: the stream is for writing only\nfalse\n", said)
    local x = ("x"):rep(300000)
    assert.is_true(helpers.read_file(path) == "one " .. x .. " " .. x .. "\nlast\n")
  end)

  it("tell that the disk is full", function()
    if not io.open("/dev/full") then return pending("needs /dev/full") end
    assert.equal("ENOSPC\nENOSPC\n", shell("PROGRAM >/dev/full", [[
      say(failure(tty.stdout().write, tty.stdout(), "x").code)
      say(failure(tty.stdout().write, tty.stdout(), "x").code)]]))
  end)

  it("tell that the reader has gone, without a SIGPIPE", function()
    assert.equal("EPIPE\n", shell("PROGRAM | true", [[
      for _ = 1, 1000 do
        local ok, err = pcall(tty.stdout().write, tty.stdout(), "x")
        if not ok then return say(err.code) end
        async.sleep(0.02)
      end]]))
  end)

  it("are the same stream each time, until they are closed", function()
    assert.equal("true\ntrue\nfalse\n", shell("PROGRAM </dev/null", [[
      say(rawequal(tty.stdin(), tty.stdin()))
      local first = tty.stdin()
      say(not rawequal(first, tty.stdout()))
      first:close()
      say(tty.stdin():is_closing())]]))
  end)

  it("are there in each run", function()
    assert.equal("OK", (select(2, shell("PROGRAM | tr a-z A-Z", [[
      tty.stdout():write("o")
    end)
    async.run(function()
      tty.stdout():write("k")]]))))
  end)
end)

describe("A terminal", function()
  it("is read by lines, and written to", function()
    local said, printed = terminal([[
      local stdin, stdout = tty.stdin(), tty.stdout()
      say(tostring(stdin), tostring(stdout))
      stdout:write("name? ")
      stdout:write("hello, ", stdin:read_line(), "\n")
      say(stdin:read_all())]], "expect:name? ", "send:you\\n", "expect:hello, you", "send:rest\\n\\x04")
    assert.equal("<Stream tty open> <Stream tty open>\nrest\n\n", said)
    assert.matches("status 0, " .. as_before .. "$", printed)
  end)

  it("tells its size, and that it has changed", function()
    local said = terminal([[
      local changes <close> = signal.listen("SIGWINCH")
      tty.stdout():write("now")
      changes()
      say(tty.winsize())
      tty.stdout():write("again")
      changes()
      say(tty.winsize())]], "expect:now", "size:100x40", "expect:again", "size:90x30")
    assert.equal("100 40\n90 30\n", said)
  end)

  it("gives single keys in raw mode, Ctrl-C too, and is as before after the run", function()
    local said, printed = terminal([[
      tty.set_mode("raw")
      tty.stdout():write("ready")
      say(tty.stdin():read_exactly(3) == "a\3\r")]], "expect:ready", "send:a\\x03\\r")
    assert.equal("true\n", said)
    assert.equal("readystatus 0, " .. as_before, printed)
  end)

  it("gives single keys in cbreak mode, and Ctrl-C interrupts", function()
    local said, printed = terminal([[
      tty.set_mode("cbreak")
      tty.stdout():write("ready")
      say(tty.stdin():read())
      tty.stdout():write("go")
      say(failure(tty.stdin().read, tty.stdin()).name)]], "expect:ready", "send:a", "expect:go", "send:\\x03")
    assert.equal("a\nCancelledError\n", said)
    assert.matches(as_before .. "$", printed)
  end)

  it("is as before after an error, a SIGINT, and an exit that closes the state", function()
    for _, last in ipairs({ "error('on purpose')", "async.sleep(30)", "os.exit(3, true)" }) do
      local _, printed = terminal('tty.set_mode("raw") tty.stdout():write("ready") ' .. last, "expect:ready",
        last:find("sleep") and "signal:INT" or "expect:")
      assert.matches(as_before .. "$", printed)
      assert.is_nil(printed:find("status 0", 1, true))
    end
  end)

  it("is as before when it is set to normal", function()
    local said = terminal([[
      local function modes()
        local pipe <close> = io.popen("stty -a")
        local text = pipe:read("a")
        return (text:match("%-?icanon")), text:match("%-?echo%f[%W]"), text:match("%-?isig")
      end
      tty.set_mode("normal")
      say(modes())
      tty.set_mode("raw")
      say(modes())
      tty.set_mode("cbreak")
      say(modes())
      tty.set_mode("normal")
      say(modes())]])
    assert.equal("icanon echo isig\n-icanon -echo -isig\n-icanon -echo isig\nicanon echo isig\n", said)
  end)
end)

describe("A terminal that cannot be had", function()
  it("is an OSError, and leaves nothing behind", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local said = terminal([[
      local plans, descriptors = require("luawait.core").call_faults, require "spec.support.descriptors"
      tty.stdout() -- libuv keeps a descriptor in reserve from its first stream on
      local before, n = descriptors() or 0, 0
      repeat
        n = n + 1
        plans.plan(n)
        local ok, err = pcall(tty.stdin)
        local hit = plans.state().hit
        plans.plan(0)
        async.sleep(0)
        collectgarbage()
        if hit then say(hit, ok or helpers.kind(err), (descriptors() or 0) - before) end
      until not hit]]):gsub("%x*alloc string", "memory")
    assert.equal("fcntl OSError 0\nmemory 0\nfcntl OSError 0\nuv_tty_init OSError 0\nuv_fileno OSError 0\n" ..
      "fstat true 1\n", said)
  end)
end)

describe("A mode that the terminal does not take", function()
  it("is an OSError, and the terminal is as before in the end", function()
    if not faults.available() then return pending("no linker with --wrap") end
    local said, printed = terminal([[
      local plans, n, err = require("luawait.core").call_faults, 0, nil
      repeat
        n = n + 1
        plans.plan(n)
        err = failure(tty.set_mode, "raw")
        local hit = plans.state().hit
        plans.plan(0)
      until hit == "tcsetattr"
      say(err.name, err.code, err.syscall, err.path)]])
    assert.equal("OSError EIO tcsetattr stdin\n", said)
    assert.matches(as_before .. "$", printed)
  end)
end)

describe("What is no terminal", function()
  it("has no size and no mode", function()
    local said = shell("PROGRAM </dev/null | cat", [[
      local err = failure(tty.winsize)
      say(err.name, err.code, err.path)
      for _, mode in ipairs({ "raw", "cbreak", "normal" }) do
        err = failure(tty.set_mode, mode)
        say(err.name, err.code, err.path)
      end]])
    assert.equal("OSError ENOTTY terminal\n" .. ("OSError ENOTTY stdin\n"):rep(3), said)
  end)
end)

describe("Wrong arguments", function()
  it("are named", function()
    local function text(mode) return failure_text(tty.set_mode, mode) end
    assert.matches("'set_mode' %('normal', 'raw' or 'cbreak' expected, got 'cooked'%)", text("cooked"))
    assert.matches("bad argument #1 to 'set_mode' %('normal', 'raw' or 'cbreak' expected, got nil%)", text())
    assert.matches("RuntimeError: no running event loop", text("raw"))
    assert.matches("RuntimeError: no running event loop", failure_text(tty.stdin))
    assert.is_truthy(async)
  end)
end)

describe("The streams of a program", function()
  it("give children no further descriptor", function()
    if not is_linux then return pending("needs /proc") end
    for _, command in ipairs({ "PROGRAM </etc/hosts >/dev/null", "cat /etc/hosts | PROGRAM 2>&1 | cat" }) do
      assert.equal("same\n", (shell(command, [[
        local function descriptors()
          local list <close> = io.popen("ls /proc/self/fd")
          return list:read("a")
        end
        local before = descriptors()
        for _, open in ipairs({ tty.stdin, tty.stdout, tty.stderr }) do open() end
        local after = descriptors()
        say(after == before and "same" or before .. "became " .. after)]])))
    end
  end)

  it("leave no descriptor behind", function()
    if not is_linux then return pending("needs /proc") end
    for _, command in ipairs({ "PROGRAM </dev/null", "printf x | PROGRAM | cat", "PROGRAM <&- >&-" }) do
      local said = shell(command, [[
        local system = require "spec.support.system"
        say(pcall(tty.stdout))
      end)
      local system = require "spec.support.system"
      local function count()
        async.run(function()
          tty.stdin():read_all()
          tty.stdout():write("x")
          tty.stderr()
        end)
        collectgarbage()
        collectgarbage()
        return system.descriptors()
      end
      count()
      local before = count()
      for _ = 1, 3 do say(count() == before) end
      async.run(function()]])
      assert.matches("true\ntrue\ntrue\n$", said)
    end
  end)
end)
