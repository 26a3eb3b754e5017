local async = require "luawait"
local fs = require "luawait.fs"
local process = require "luawait.process"
local signal = require "luawait.signal"
local helpers = require "spec.support.helpers"
local system = require "spec.support.system"
local testing = require "luawait.testing"

local failure, failure_text, failure_kind = helpers.failure, helpers.failure_text, helpers.failure_kind
local run, settle = helpers.run, helpers.settle

local is_linux = helpers.read_file("/proc/self/stat") ~= ""

--- Does a process with this number exist, alive or as a zombie?
local function exists(pid)
  return system.output(("kill -0 %d 2>/dev/null && echo yes"):format(pid)) == "yes"
end

--- The children of this process, as "PID STATE" lines, but for the ps that tells.
local function children()
  local list = system.output(("ps -o pid=,stat=,args= --ppid %d"):format(system.pid))
  local others = {}
  for line in list:gmatch("[^\n]+") do
    if not line:find("ps -o", 1, true) then others[#others + 1] = line end
  end
  return others
end

-- A command that no other process of the machine runs, and how many run it.
local sleep = ("sleep 31.%07d"):format(system.pid)

local function sleepers()
  return system.output(("ps -eo args | grep -cx '%s' || true"):format(sleep))
end

local function wait_until(condition)
  local deadline = async.time() + 20
  while not condition() do
    assert(async.time() < deadline, "it does not come to be so")
    async.sleep(0.002)
  end
end

describe("process.run", function()
  it("returns the status and what the program wrote", function()
    run(function()
      assert.same({ status = 0, stdout = "hello\n", stderr = "" }, process.run({ "echo", "hello" }))
      assert.same({ status = 3, stdout = "out", stderr = "err" },
        process.run({ "sh", "-c", "printf out; printf err >&2; exit 3" }))
    end)
  end)

  it("involves no shell", function()
    run(function()
      local words = { "printf", "%s\n", "$HOME", "a b", "*", ";", "`true`", "" }
      assert.equal("$HOME\na b\n*\n;\n`true`\n\n", process.run(words).stdout)
    end)
  end)

  it("keeps binary data as it is", function()
    run(function()
      local bytes = {}
      for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
      local data = table.concat(bytes):rep(100)
      assert.equal(data, process.run({ "cat" }, { input = data }).stdout)
    end)
  end)

  it("feeds megabytes while it reads megabytes from both pipes", function()
    run(function()
      local size = helpers.scale(8000000)
      local result = process.shell("tee /dev/stderr", { input = ("0123456789"):rep(size // 10) })
      assert.equal(0, result.status)
      assert.equal(size, #result.stdout)
      assert.is_true(result.stdout == result.stderr)
    end)
  end)

  it("does not mind a program that leaves its input", function()
    run(function()
      local input = ("x"):rep(1000000)
      assert.same({ status = 0, stdout = "", stderr = "" }, process.run({ "true" }, { input = input }))
      assert.equal("xxx", process.run({ "head", "-c", "3" }, { input = input }).stdout)
      assert.equal("over", process.shell("exec <&-; printf over", { input = input }).stdout)
    end)
  end)

  it("drops what is left of the input when the program has ended, also where another still holds the pipe", function()
    local script = "exec 3<&0; sleep 5 <&3 >/dev/null 2>&1 3<&- & exit 7"
    testing.run(function()
      assert.equal(7, process.shell(script, { input = ("x"):rep(1000000) }).status)
      local child <close> = process.spawn { "sh", "-c", script }
      local writer = async.create_task(function() child.stdin:write(("x"):rep(1000000)) end)
      child:wait()
      writer:cancel()
    end, { clock = "real" })
  end)

  it("gives a program without input an empty one", function()
    run(function()
      assert.equal("0\n", process.shell("wc -c | tr -d ' '").stdout)
      assert.equal("0\n", process.shell("wc -c | tr -d ' '", { input = "" }).stdout)
    end)
  end)

  it("names the signal that ended the program", function()
    run(function()
      local result = process.shell("echo before; kill -TERM $$")
      assert.same({ signal = "SIGTERM", stdout = "before\n", stderr = "" }, result)
      if is_linux then assert.equal("signal 40", process.shell("kill -40 $$").signal) end -- which has no name
    end)
  end)

  it("waits for the exit and for the end of both pipes", function()
    run(function()
      -- What is left behind writes after the shell has gone.
      assert.equal("firstlast", process.shell("printf first; (sleep 0.1; printf last) &").stdout)
      -- The pipes are closed before the program ends.
      assert.equal(4, process.shell("exec >&- 2>&-; sleep 0.1; exit 4").status)
    end)
  end)

  it("has a directory", function()
    run(function()
      assert.equal("/usr\n", process.run({ "pwd" }, { cwd = "/usr" }).stdout)
    end)
  end)

  it("has an environment: this one's, with changes", function()
    run(function()
      local script = "echo $HOME $ADDED ${PATH:+path} ${GONE-gone}"
      local env = { HOME = "/nowhere", ADDED = "a b=c", GONE = false }
      assert.equal("/nowhere a b=c path gone\n", process.shell(script, { env = env }).stdout)
      assert.equal(os.getenv("PATH") .. "\n", process.shell("echo $PATH").stdout)
    end)
  end)

  it("finds the program on the PATH that the program gets", function()
    run(function()
      local err = failure(process.run, { "sort" }, { env = { PATH = "/nowhere" } })
      assert.equal("ENOENT", err.code)
    end)
  end)

  it("connects stdout and stderr elsewhere", function()
    assert.equal("inherited\nnil nil\nboth to one\nnil nil\n", helpers.child_output([[
      local process = require "luawait.process"
      io.stdout:setvbuf("no")
      local function show(result) print(tostring(result.stdout) .. " " .. tostring(result.stderr)) end
      async.run(function()
        show(process.shell("echo inherited; echo nothing >&2", { stdout = "inherit", stderr = "null" }))
        io.write(process.shell("printf both; printf ' to ' >&2; echo one", { stderr = "stdout" }).stdout)
        show(process.shell("echo away; echo away >&2", { stdout = "null", stderr = "stdout" }))
      end)]]))
  end)

  it("connects them to files", function()
    run(function()
      local path = os.tmpname()
      local _ <close> = helpers.defer(function() os.remove(path) end)
      helpers.write_file(path, "one\ntwo\nthree\n")
      local input <close> = fs.open(path)
      assert.equal("one", input:read("l"))
      assert.equal("two\nthree\n", process.run({ "cat" }, { stdin = input }).stdout)
      local output <close> = fs.open(path, "w")
      local result = process.shell("echo out; echo err >&2", { stdout = output, stderr = "stdout" })
      assert.same({ status = 0 }, result)
      assert.equal("out\nerr\n", helpers.read_file(path))
      output:close()
      assert.matches("bad argument #2 to 'run' %(option 'stdout': the file is closed%)",
        failure_text(process.run, { "true" }, { stdout = output }))
      helpers.collect_garbage()
      process.run({ "echo", "again" }, { stdout = fs.open(path, "w") })
      assert.equal("again\n", helpers.read_file(path))
    end)
  end)

  it("raises ProcessError with the end of stderr when asked to check", function()
    run(function()
      assert.equal(0, process.run({ "true" }, { check = true }).status)
      local err = failure(process.shell, "echo out; echo some; echo reason >&2; exit 7", { check = true })
      assert.equal("ProcessError", err.name)
      assert.equal("/bin/sh ended with status 7: reason", err.message)
      assert.same({ 7, nil, "out\nsome\n", "reason\n" }, { err.status, err.signal, err.stdout, err.stderr })
      err = failure(process.shell, "kill -HUP $$", { check = true })
      assert.equal("/bin/sh was ended by SIGHUP", err.message)
      assert.equal("SIGHUP", err.signal)
      local much = "head -c 100000 /dev/zero | tr '\\0' 'x' >&2; echo the end >&2; false"
      err = failure(process.shell, much, { check = true })
      assert.matches("status 1: %.%.%.x+the end$", err.message)
      assert.is_true(#err.message < 3000)
      assert.equal(100008, #err.stderr)
    end)
  end)

  it("raises TimeoutError, and has killed and reaped the program", function()
    run(function()
      local start = async.time()
      local err = failure(process.shell, "trap '' TERM; exec sleep 30", { timeout = 0.05 })
      assert.equal("TimeoutError", err.name)
      assert.is_true(async.time() - start < 20)
      if is_linux then assert.same({}, children()) end
    end)
  end)

  it("gives the TimeoutError what the program had written", function()
    run(function()
      local function written(line, stdout, stderr, opts)
        local err = failure(process.shell, line .. "; sleep 30", opts)
        assert.equal("TimeoutError", err.name)
        assert.same({ stdout, stderr }, { err.stdout, err.stderr })
      end
      local deadline = { timeout = 3 }
      async.gather(
        function() written("echo some; echo more >&2", "some\n", "more\n", deadline) end,
        function() written("echo open >&2; echo closed; exec >&-", "closed\n", "open\n", deadline) end,
        function() written("echo open; echo closed >&2; exec 2>&-", "open\n", "closed\n", deadline) end,
        function() written("echo only >&2", nil, "only\n", { timeout = 3, stdout = "null" }) end,
        function() written("true", "", "", { timeout = 0 }) end
      )
    end)
  end)

  it("ends with its timeout when something left behind holds a pipe", function()
    run(function()
      assert.equal("TimeoutError", failure_kind(process.shell, "sleep 3 & exit 0", { timeout = 0.1 }))
      local line = sleep .. " & exit 0"
      assert.equal("TimeoutError", failure_kind(process.shell, line, { timeout = 0.1, group = true }))
      wait_until(function() return sleepers() == "0" end)
    end)
  end)

  it("is killed and reaped when it is cancelled", function()
    run(function()
      local task = async.create_task(function() process.run({ "sleep", "30" }) end)
      if is_linux then wait_until(function() return #children() == 1 end) end
      async.sleep(0)
      task:cancel()
      async.wait({ task })
      assert.is_true(task:cancelled())
      if is_linux then assert.same({}, children()) end
    end)
  end)

  it("is killed with its whole group", function()
    run(function()
      local task = async.create_task(function()
        process.shell(("%s & %s & wait"):format(sleep, sleep), { group = true })
      end)
      wait_until(function() return sleepers() == "2" end)
      task:cancel()
      async.wait({ task })
      wait_until(function() return sleepers() == "0" end)
      assert.is_true(task:cancelled())
    end)
  end)

  it("runs a hundred at once", function()
    run(function()
      local tasks, count = {}, helpers.scale(100)
      for i = 1, count do
        tasks[i] = async.create_task(function()
          return process.run({ "sh", "-c", "cat; echo $0 >&2", tostring(i) }, { input = ("%d "):format(i):rep(1000) })
        end)
      end
      for i = 1, count do
        local result = async.await(tasks[i])
        assert.equal(0, result.status)
        assert.equal(i .. "\n", result.stderr)
        assert.equal(("%d "):format(i):rep(1000), result.stdout)
      end
    end)
  end)

  it("works with git and tar", function()
    run(function()
      local folder = system.output("mktemp -d")
      local _ <close> = helpers.defer(function() os.execute(("rm -rf '%s'"):format(folder)) end)
      local opts = { cwd = folder, check = true }
      local function git(...)
        local named = { "git", "-c", "user.name=a", "-c", "user.email=a@b", ... }
        return process.run(named, opts).stdout
      end
      git("init", "-q")
      helpers.write_file(folder .. "/file", "text\n")
      git("add", "file")
      git("commit", "-q", "-m", "first")
      assert.equal("first\n", git("log", "--format=%s"))
      local archive = process.run({ "tar", "-cf", "-", "file" }, opts).stdout
      local list = process.run({ "tar", "-tvf", "-" }, { input = archive, check = true }).stdout
      assert.matches("file\n$", list)
      local err = failure(git, "no-such-command")
      assert.equal("ProcessError", err.name)
      assert.matches("git ended with status 1: .*no%-such%-command", err.message)
    end)
  end)
end)

describe("process.shell", function()
  it("runs a line of the shell", function()
    run(function()
      assert.equal("HELLO\n", process.shell("echo hello | tr a-z A-Z").stdout)
      assert.equal("input", process.shell("cat", { input = "input" }).stdout)
    end)
  end)
end)

describe("process.spawn", function()
  it("gives streams to talk with the program", function()
    run(function()
      local child <close> = process.spawn({ "cat" })
      for i = 1, 3 do
        child.stdin:write(i, "\n")
        assert.equal(tostring(i), child.stdout:read_line())
      end
      child.stdin:close()
      assert.is_nil(child.stdout:read())
      assert.equal("", child.stderr:read_all())
      assert.same({ 0 }, { child:wait() })
      assert.matches("^<Process %d+ cat ended>$", tostring(child))
    end)
  end)

  it("raises OSError with path for a program that cannot be had", function()
    run(function()
      local err = failure(process.spawn, { "no-such-program", "x" })
      assert.same({ "OSError", "ENOENT", "spawn", "no-such-program" }, { err.name, err.code, err.syscall, err.path })
      err = failure(process.spawn, { "/" })
      assert.same({ "EACCES", "/" }, { err.code, err.path })
    end)
  end)

  it("raises OSError with path for a directory that cannot be had", function()
    run(function()
      local err = failure(process.spawn, { "true" }, { cwd = "/no/such" })
      assert.same({ "OSError", "ENOENT", "chdir", "/no/such" }, { err.name, err.code, err.syscall, err.path })
      err = failure(process.spawn, { "true" }, { cwd = "/dev/null" })
      assert.same({ "ENOTDIR", "/dev/null" }, { err.code, err.path })
    end)
  end)

  it("lets several tasks wait, before and after the end", function()
    run(function()
      local child <close> = process.spawn({ "sh", "-c", "read x; exit 5" })
      local tasks = {}
      for i = 1, 5 do tasks[i] = async.create_task(function() return child:wait() end) end
      settle()
      assert.equal(("the end of process %d"):format(child.pid), tasks[1]:waiting_on())
      tasks[3]:cancel()
      child.stdin:write("\n")
      async.wait(tasks)
      assert.is_true(tasks[3]:cancelled())
      assert.equal(5, tasks[1]:result())
      assert.equal(5, tasks[5]:result())
      assert.equal(5, child:wait())
    end)
  end)

  it("sends signals", function()
    run(function()
      local script = "trap 'echo usr1; exit 0' USR1; echo ready; while :; do read x; done"
      local child <close> = process.spawn({ "sh", "-c", script })
      assert.equal("ready", child.stdout:read_line())
      assert.is_true(child:kill("SIGUSR1"))
      child.stdin:close()
      assert.equal("usr1", child.stdout:read_line())
      assert.equal(0, child:wait())
      assert.is_false(child:kill("SIGUSR1"))
      local other <close> = process.spawn({ "sleep", "30" })
      assert.is_true(other:terminate())
      assert.same({ nil, "SIGTERM" }, { other:wait() })
      local third <close> = process.spawn({ "sleep", "30" })
      assert.is_true(third:kill())
      assert.same({ nil, "SIGKILL" }, { third:wait() })
      assert.matches("bad argument #1 to 'kill' %(unknown signal 'KILL'%)", failure_text(third.kill, third, "KILL"))
      assert.matches("'kill' %(name of a signal expected, got number%)", failure_text(third.kill, third, 9))
      local fourth <close> = process.spawn({ "sleep", "30" })
      local err = failure(fourth.handle.kill, fourth.handle, 1000) -- as it may be for want of permission
      assert.same({ "EINVAL", "kill" }, { err.code, err.syscall })
    end)
  end)

  it("is killed and reaped when its scope is left", function()
    run(function()
      local pid
      do
        local child <close> = process.spawn({ "sleep", "30" })
        pid = child.pid
        assert.is_true(exists(pid))
      end
      assert.is_false(exists(pid))
      local ok = pcall(function()
        local child <close> = process.spawn({ "sleep", "30" })
        pid = child.pid
        error("on purpose")
      end)
      assert.is_false(ok)
      assert.is_false(exists(pid))
    end)
  end)

  it("is reaped when nobody waits for it", function()
    run(function()
      local pid = process.spawn({ "true" }).pid
      helpers.collect_garbage()
      wait_until(function() return not exists(pid) end)
    end)
  end)

  it("is killed and reaped at the end of the run", function()
    local child
    run(function() child = process.spawn({ "sleep", "30" }) end)
    assert.is_false(exists(child.pid))
    assert.same({ nil, "SIGKILL" }, { child:wait() })
    assert.is_false(child:kill())
  end)

  it("outlives the run when it is detached, in a session of its own", function()
    local pid, session = helpers.child_output([[
      local process, system = require "luawait.process", require "spec.support.system"
      async.run(function()
        local child <close> = process.spawn({ "sleep", "30" }, { detached = true })
        print(child.pid, system.output(("ps -o sid= -p %d"):format(child.pid)))
      end)]]):match("^(%d+)%s+(%d+)\n$")
    assert.is_true(exists(pid))
    assert.equal(pid, session)
    system.kill("KILL", pid)
  end)

  it("is closed for the program after the run that it outlives", function()
    local pid, said = helpers.child_output([[
      local helpers, process = require "spec.support.helpers", require "luawait.process"
      local child
      async.run(function() child = process.spawn({ "sleep", "30" }, { detached = true }) end)
      print(child.pid, helpers.failure_text(child.wait, child), helpers.failure_text(child.kill, child))]])
      :match("^(%d+)\t(.*)\n$")
    assert.is_true(exists(pid))
    system.kill("KILL", pid)
    assert.equal("RuntimeError: process is closed\tRuntimeError: process is closed", said)
  end)

  it("has its own exit status when it had ended before the run was", function()
    if not is_linux then return pending("needs /proc") end
    local path, child, runner = os.tmpname(), nil, async.Runner()
    local script = ("while [ -e '%s' ]; do sleep 0.01; done; exit 3"):format(path)
    runner:run(function() child = process.spawn({ "sh", "-c", script }) end)
    os.remove(path)
    system.output(("until grep -q '^State:.*Z' /proc/%d/status; do sleep 0.01; done"):format(child.pid))
    runner:close() -- the loop has not met its end yet
    assert.is_false(exists(child.pid))
    assert.same({ 3 }, { child:wait() })
  end)

  it("is something that can wake the program: no deadlock", function()
    run(function()
      local child <close> = process.spawn({ "sleep", "0.05" }, { stdin = "null", stdout = "null", stderr = "null" })
      assert.is_nil(child.stdin or child.stdout or child.stderr)
      assert.equal(0, child:wait())
    end)
  end)

  it("lets SIGCHLD be watched as well", function()
    run(function()
      local names <close> = signal.listen("SIGCHLD")
      process.run({ "true" })
      assert.equal("SIGCHLD", names())
      assert.equal(0, process.run({ "true" }).status)
    end)
    if is_linux then assert.is_false(system.in_mask("SigCgt", 17)) end
  end)

  it("makes a write to a child that reads no more an error, and not a SIGPIPE", function()
    run(function()
      local child <close> = process.spawn({ "sh", "-c", "exec <&-; echo closed; sleep 30" })
      assert.equal("closed", child.stdout:read_line())
      local err = failure(function()
        for _ = 1, 100 do
          child.stdin:write(("x"):rep(100000))
          child.stdin:flush()
        end
      end)
      assert.equal("EPIPE", err.code)
    end)
  end)
end)

describe("A child", function()
  it("gets no descriptor but its three", function()
    if not is_linux then return pending("needs /proc") end
    assert.equal("true\n", helpers.child_output([[
      -- This program may have been started with more than three itself.
      local pipe = io.popen("exec ls /proc/self/fd")
      local before = pipe:read("a")
      pipe:close()
      local process, net, signal = require "luawait.process", require "luawait.net", require "luawait.signal"
      async.run(function()
        local accepted = async.Future()
        local server <close> = net.serve("127.0.0.1", 0, function(stream)
          accepted:set_result(stream)
          stream:read()
        end)
        local client <close> = net.connect(server:address())
        async.await(accepted)
        local names <close> = signal.listen("SIGUSR1")
        local other <close> = process.spawn({ "cat" })
        net.resolve("localhost")
        local listed = process.run({ "ls", "/proc/self/fd" }).stdout
        print(listed == before or listed)
      end)]]))
  end)

  it("has no signal blocked or ignored", function()
    if not is_linux then return pending("needs /proc") end
    run(function()
      local status = process.run({ "cat", "/proc/self/status" }).stdout
      for _, set in ipairs { "SigBlk", "SigIgn" } do
        local signals = tonumber(status:match(set .. ":\t(%x+)"), 16)
        assert.equal(0, signals & 0x7fffffff, set) -- from 32 on they are the system's, and inherited
      end
    end)
  end)
end)

describe("Wrong arguments", function()
  it("are named", function()
    run(function()
      local function text(...) return failure_text(process.run, ...) end
      assert.matches("bad argument #1 to 'run' %(array of strings expected, got string%)", text("ls"))
      assert.matches("bad argument #1 to 'run' %(array of strings expected, got nil%)", text())
      assert.matches("bad argument #1 to 'run' %(the array is empty", text({}))
      assert.matches("'run' %(element 2: string expected, got number%)", text({ "sleep", 1 }))
      assert.matches("'run' %(element 2: string without zeros expected%)", text({ "echo", "a\0b" }))
      assert.matches("bad argument #2 to 'run' %(table expected, got string%)", text({ "true" }, "check"))
      assert.matches("'run' %(option 'cwd': string expected, got boolean%)", text({ "true" }, { cwd = true }))
      assert.matches("'run' %(option 'cwd': string without zeros expected%)", text({ "true" }, { cwd = "a\0" }))
      assert.matches("'run' %(option 'timeout': number expected, got NaN%)", text({ "true" }, { timeout = 0 / 0 }))
      assert.matches("'run' %(option 'input': string expected, got number%)", text({ "true" }, { input = 1 }))
      assert.matches("'run' %(option 'input': stdin is 'null'%)", text({ "true" }, { input = "x", stdin = "null" }))
      local env = { ["A=B"] = "" }
      assert.matches("'run' %(option 'env': 'A=B' is no name of a variable%)", text({ "true" }, { env = env }))
      assert.matches("'run' %(option 'env': A: string expected, got number%)", text({ "true" }, { env = { A = 1 } }))
      assert.matches("'run' %(option 'env': name: string expected, got number%)", text({ "true" }, { env = { "A=1" } }))
      assert.matches("'run' %(option 'stdout': 'pipe', 'null', 'inherit' or a File expected, got 'stdout'%)",
        text({ "true" }, { stdout = "stdout" }))
      assert.matches("'run' %(option 'stderr': 'pipe', 'null', 'stdout', 'inherit' or a File expected, got number%)",
        text({ "true" }, { stderr = 2 }))
      assert.matches("bad argument #1 to 'spawn' %(the array is empty", failure_text(process.spawn, {}))
      assert.matches("bad argument #1 to 'shell' %(string expected, got table%)", failure_text(process.shell, { "ls" }))
      assert.matches("bad argument #1 to 'shell' %(string without zeros expected%)", failure_text(process.shell, "\0"))
      assert.matches("#2 to 'run' %(unknown option 'detached'%)", text({ "true" }, { detached = true }))
      for option, value in pairs({ input = "x", check = true, timeout = 1 }) do
        assert.matches(("#2 to 'spawn' %%(unknown option '%s'%%)"):format(option),
          failure_text(process.spawn, { "true" }, { [option] = value }))
      end
      local child <close> = process.spawn({ "true" })
      for _, method in ipairs({ "wait", "kill", "terminate" }) do
        assert.matches(("#1 to '%s' %%(Process expected, got nil%%)"):format(method), failure_text(child[method]))
      end
    end)
  end)

  it("are complained about where the function was called", function()
    run(function()
      local line = debug.getinfo(1, "l").currentline + 1
      local err = failure(function() process.run({}) end)
      assert.matches(("process_spec.lua:%d: bad argument"):format(line), err)
      err = failure(function() local child = process.spawn({}) return child end)
      assert.matches(("process_spec.lua:%d: bad argument"):format(line + 2), err)
      err = failure(function() process.shell(1) end)
      assert.matches(("process_spec.lua:%d: bad argument"):format(line + 4), err)
    end)
  end)

  it("that fail by themselves raise their own error", function()
    local argv = setmetatable({}, {
      __len = function() return 1 end,
      __index = function() error("no such element", 0) end,
    })
    assert.equal("no such element", failure(process.run, argv))
  end)

  it("start nothing outside a run, and run nothing outside a task", function()
    assert.matches("RuntimeError: no running event loop", failure_text(process.spawn, { "true" }))
    assert.matches("RuntimeError: run outside a task", failure_text(process.run, { "true" }))
    run(function()
      local path, said = os.tmpname(), async.Future()
      local _ <close> = helpers.defer(function() os.remove(path) end)
      async.call_soon(function() said:set_result(failure_text(process.shell, "echo ran >" .. path)) end)
      assert.matches("RuntimeError: shell outside a task", async.await(said))
      process.run({ "sleep", "0.2" }) -- it would have done its work by then
      assert.equal("", helpers.read_file(path))
    end)
  end)
end)

describe("Processes", function()
  it("can be cancelled at any point, and leave nothing behind", function()
    if not is_linux then return pending("needs ps") end
    run(function()
      local input, before = ("x"):rep(200000)
      for i = 1, helpers.scale(200) do
        local task = async.create_task(function()
          local result = process.run({ "cat" }, { input = input })
          return #result.stdout
        end)
        for _ = 1, i % 23 do async.sleep(0) end
        if i % 3 == 0 then async.sleep(i % 7 / 2000) end
        task:cancel()
        async.wait({ task })
        assert.is_true(task:cancelled() or task:result() == #input)
        if i == 20 then before = system.descriptors() end
      end
      assert.same({}, children())
      assert.equal(before, system.descriptors())
    end)
  end)

  it("run where SIGCHLD is ignored, and leave it so", function()
    if not is_linux then return pending("needs /proc") end
    local script = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(script) end)
    helpers.write_file(script, [[
      local async, process = require "luawait", require "luawait.process"
      local system = require "spec.support.system"
      if not system.in_mask("SigIgn", 17) then return print("not ignored") end
      async.run(function()
        print(process.run({ "false" }).status, system.in_mask("SigIgn", 17))
        print(pcall(process.run, { "no-such-program" }))
      end)
      print(system.in_mask("SigIgn", 17))]])
    local start = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
      .. "os.execvp(sys.argv[1], sys.argv[1:])"
    local output = system.output(("${LUAWAIT_PYTHON:-python3} -c '%s' '%s' '%s'"):format(
      start, os.getenv("LUA") or "lua5.4", script))
    if output == "not ignored" then return pending("the interpreter is a shell script, which sets it back") end
    assert.matches("^1\ttrue\nfalse\tOSError: spawn no%-such%-program.*\ntrue$", output)
  end)

  it("leave no descriptor and no zombie behind", function()
    if not system.descriptors() then return pending("needs /proc") end
    local function count()
      run(function()
        process.run({ "cat" }, { input = "x" })
        pcall(process.run, { "no-such-program" })
        pcall(process.run, { "true" }, { cwd = "/no/such" })
        pcall(process.run, { "sleep", "30" }, { timeout = 0.01 })
        local task = async.create_task(function() process.run({ "sleep", "30" }) end)
        settle()
        task:cancel()
        local child <close> = process.spawn({ "cat" })
        process.spawn({ "sleep", "30" }) -- dropped
        assert.is_truthy(child)
      end)
      helpers.collect_garbage()
      assert.same({}, children())
      return system.descriptors()
    end
    count()
    local before = count()
    for _ = 1, 3 do assert.equal(before, count()) end
  end)
end)
