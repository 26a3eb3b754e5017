local async = require "luawait"
local core = require "luawait.core"
local helpers = require "spec.support.helpers"

local input = core.input
local failure_text = helpers.failure_text

describe("input", function()
  it("is ready at once where there is always something to read, also the end", function()
    local path = os.tmpname()
    helpers.write_file(path, "text")
    local result = helpers.child_output(([[
      local input = require("luawait.core").input
      local file <close> = assert(io.open(%q)) -- takes descriptor 3, as the pipes below
      async.run(function()
        for _ = 1, 3 do
          input.ready(3)
          print(input.read(3))
        end
      end)]]):format(path))
    os.remove(path)
    assert.equal("text\nnil\nnil\n", result)
  end)

  it("waits for what comes from a pipe, and leaves the descriptor as it was", function()
    local result = helpers.child_output([[
      local input = require("luawait.core").input
      local pipe <close> = assert(io.popen("printf one; sleep 0.1; printf two; sleep 0.1", "r"))
      async.run(function()
        local ticks = 0
        local ticker = async.create_task(function() while true do async.sleep(0.001) ticks = ticks + 1 end end)
        repeat
          input.ready(3)
          local text = input.read(3)
          print(text)
        until not text
        ticker:cancel()
        assert(ticks > 10)
      end)]])
    assert.equal("one\ntwo\nnil\n", result)
  end)

  -- Runs Python that starts the program of sys.argv[1:], which reads once from its stdin. What that prints.
  local function read_started_by(python)
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, 'io.write(("[%s]"):format(require("luawait.core").input.read(0)))')
    local pipe <close> = assert(io.popen(("${LUAWAIT_PYTHON:-python3} -c '%s' '%s' '%s' 2>&1"):format(
      python, os.getenv("LUA") or "lua5.4", path)))
    return pipe:read("a")
  end

  it("is empty where a descriptor that does not block has nothing yet", function()
    assert.equal("[]", read_started_by([[
import os, sys
ours, theirs = os.pipe()
os.set_blocking(ours, False)
os.set_inheritable(theirs, True) # so that it is no end
os.dup2(ours, 0)
os.execvp(sys.argv[1], sys.argv[1:])]]))
  end)

  it("is at its end where a terminal has gone, which says EIO at first", function()
    assert.equal("[nil]", read_started_by([[
import os, pty, signal, sys
out = os.dup(1)
child, master = pty.fork()
if child == 0:
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    if os.fork() == 0:
        os.setpgid(0, 0) # in the background read says EIO, too, and always
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execvp(sys.argv[1], sys.argv[1:])
    os.wait()
    os._exit(0)
os.waitpid(child, 0)]]))
  end)

  it("can be cancelled, and waited for again", function()
    local result = helpers.child_output([[
      local input = require("luawait.core").input
      local pipe <close> = assert(io.popen("sleep 0.3; echo late", "r"))
      async.run(function()
        local task = async.create_task(input.ready, {name = "x"}) -- no descriptor
        local ok = pcall(async.await, task)
        assert(not ok)
        local reader = async.create_task(function() input.ready(3) end)
        async.sleep(0)
        print(reader:waiting_on())
        reader:cancel()
        print(pcall(async.await, reader))
        input.ready(3)
        print(input.read(3))
      end)]])
    assert.equal("input on descriptor 3\nfalse\tCancelledError\nlate\n\n", result)
  end)

  it("outlives the frame of the function that waits", function()
    local result = helpers.child([[
      local input = require("luawait.core").input
      local pipe <close> = assert(io.popen("sleep 0.2", "r"))
      async.run(function()
        local thread
        async.create_task(function() thread = coroutine.running() input.ready(3) end)
        async.sleep(0)
        assert(coroutine.close(thread))
        collectgarbage() collectgarbage()
        async.sleep(0.01)
      end, {shutdown_timeout = 1})]])
    assert.equal(0, result.status)
    assert.equal("", result.stdout)
    assert.is_nil(result.stderr:find("sanitizer", 1, true) or result.stderr:find("Sanitizer", 1, true))
  end)

  it("raises OSError for what is no descriptor, and checks its argument", function()
    async.run(function()
      local ok, err = pcall(input.ready, 999)
      assert.is_false(ok)
      assert.same({ "OSError", "EBADF", "poll" }, { err.name, err.code, err.syscall })
      ok, err = pcall(input.read, 999)
      assert.is_false(ok)
      assert.same({ "OSError", "EBADF", "read" }, { err.name, err.code, err.syscall })
      assert.matches("(file descriptor expected)", failure_text(input.ready, -1), 1, true)
      assert.matches("number expected, got no value", failure_text(input.read), 1, true)
      assert.is_false(input.is_terminal(999))
    end)
    assert.matches("outside a task", failure_text(input.ready, 3), 1, true)
  end)
end)
