local async = require "luawait"
local signal = require "luawait.signal"
local helpers = require "spec.support.helpers"
local system = require "spec.support.system"

local failure_text, child_output = helpers.failure_text, helpers.child_output
local run, settle, kill = helpers.run, helpers.settle, system.kill

local is_linux = io.open("/proc/self/status") ~= nil
local TERM = 15

-- For children: `kill` sends one a signal.
local prelude = [[
  local signal = require "luawait.signal"
  local system = require "spec.support.system"
  local kill = system.kill
]]

describe("signal.wait", function()
  it("returns the name of the signal that came", function()
    run(function()
      async.call_later(0, kill, "USR1")
      assert.equal("SIGUSR1", signal.wait("SIGUSR1"))
    end)
  end)

  it("waits for the first of several", function()
    run(function()
      async.call_later(0, kill, "USR2")
      assert.equal("SIGUSR2", signal.wait("SIGUSR1", "SIGUSR2", "SIGUSR1"))
    end)
  end)

  it("wakes all tasks that wait for one signal", function()
    run(function()
      local tasks = {}
      for i = 1, 10 do tasks[i] = async.create_task(function() return signal.wait("SIGUSR1") end) end
      settle()
      kill("USR1")
      for i = 1, 10 do assert.equal("SIGUSR1", async.await(tasks[i])) end
    end)
  end)

  it("knows SIGCHLD, SIGWINCH, SIGHUP, SIGTERM, SIGUSR1 and the others", function()
    run(function()
      for name in ("CHLD WINCH HUP TERM USR1 USR2 ALRM PIPE QUIT CONT TSTP"):gmatch("%S+") do
        async.call_later(0, kill, name)
        assert.equal("SIG" .. name, signal.wait("SIG" .. name))
      end
    end)
  end)

  it("ends with the deadline of a timeout, and leaves nothing behind", function()
    run(function()
      assert.equal("TimeoutError", helpers.failure_kind(async.timeout, 0.01, signal.wait, "SIGUSR1"))
      if is_linux then assert.is_false(system.in_mask("SigCgt", 10)) end
    end)
  end)

  it("can be cancelled while others wait", function()
    run(function()
      local one = async.create_task(function() return signal.wait("SIGUSR1") end)
      local other = async.create_task(function() return signal.wait("SIGUSR1") end)
      settle()
      one:cancel()
      settle()
      assert.equal("cancelled", one:state())
      kill("USR1")
      assert.equal("SIGUSR1", async.await(other))
    end)
  end)

  it("says which signals a task waits for", function()
    run(function()
      local task = async.create_task(function() signal.wait("SIGUSR1", "SIGHUP") end)
      settle()
      assert.equal("a signal: SIGUSR1 SIGHUP", task:waiting_on())
    end)
  end)

  it("is something that can wake the program: no deadlock", function()
    run(function()
      local event = async.Event()
      local handler <close> = signal.handle("SIGUSR1", function() event:set() end)
      async.call_later(0, kill, "USR1")
      event:wait()
      assert.is_truthy(handler)
    end)
  end)

  it("raises argument errors for what is no signal", function()
    run(function()
      local function text(...) return failure_text(signal.wait, ...) end
      assert.matches("bad argument #1 to 'wait' %(name of a signal expected, got no value%)", text())
      assert.matches("bad argument #2 to 'wait' %(name of a signal expected, got number%)", text("SIGHUP", 1))
      assert.matches("bad argument #2 to 'wait' %(name of a signal expected, got nil%)", text("SIGHUP", nil))
      assert.matches("bad argument #1 to 'wait' %(unknown signal 'HUP'%)", text("HUP"))
      assert.matches("bad argument #1 to 'wait' %(SIGKILL cannot be caught%)", text("SIGKILL"))
      assert.matches("bad argument #3 to 'wait' %(SIGSTOP cannot be caught%)", text("SIGHUP", "SIGTERM", "SIGSTOP"))
      assert.matches("'wait' %(SIGSEGV tells of a fault of the program itself%)", text("SIGSEGV"))
      assert.matches("'listen' %(unknown signal ''%)", failure_text(signal.listen, ""))
      assert.matches("'listen' %(unknown signal 'SIGHUP%z'%)", failure_text(signal.listen, "SIGHUP\0"))
      assert.matches("'handle' %(unknown signal 'SIGNAL'%)", failure_text(signal.handle, "SIGNAL", print))
      assert.matches("'handle' %(function expected, got nil%)", failure_text(signal.handle, "SIGHUP"))
      local listener <close> = signal.listen("SIGHUP")
      local handler <close> = signal.handle("SIGHUP", print)
      assert.matches("#1 to 'close' %(Listener expected, got nil%)", failure_text(listener.close))
      assert.matches("#1 to 'close' %(Handler expected, got table%)", failure_text(handler.close, listener))
    end)
  end)

  it("raises RuntimeError outside a run", function()
    assert.matches("RuntimeError: no running event loop", failure_text(signal.wait, "SIGHUP"))
  end)
end)

describe("signal.listen", function()
  it("gives the signals as they come", function()
    run(function()
      local names <close> = signal.listen("SIGUSR1", "SIGUSR2")
      kill("USR2")
      assert.equal("SIGUSR2", names())
      kill("USR1")
      assert.equal("SIGUSR1", names())
    end)
  end)

  it("loses no signal that arrives between two steps", function()
    run(function()
      local seen = {}
      async.call_later(0, kill, "USR1")
      for name in signal.listen("SIGUSR1", "SIGUSR2") do
        seen[#seen + 1] = name
        if #seen == 1 then
          kill("USR2") -- while nobody waits
          settle()
        end
        if #seen == 2 then break end
      end
      assert.same({ "SIGUSR1", "SIGUSR2" }, seen)
    end)
  end)

  it("gives one that came several times meanwhile once", function()
    run(function()
      local names <close> = signal.listen("SIGUSR1")
      for _ = 1, 3 do
        kill("USR1")
        settle()
      end
      assert.equal("SIGUSR1", names())
      local next_one = async.create_task(function() return names() end)
      settle()
      assert.equal("waiting", next_one:state())
      kill("USR1")
      assert.equal("SIGUSR1", async.await(next_one))
    end)
  end)

  it("keeps the signal when a step is cancelled in the turn in which it comes", function()
    run(function()
      local names <close> = signal.listen("SIGUSR1")
      local task = async.create_task(function() return names() end)
      settle()
      local handler <close> = signal.handle("SIGUSR1", function() task:cancel() end)
      kill("USR1")
      async.wait({ task })
      assert.is_true(task:cancelled() or task:result() == "SIGUSR1")
      if task:cancelled() then assert.equal("SIGUSR1", names()) end
      assert.is_truthy(handler)
    end)
  end)

  it("tells what it listens to", function()
    run(function()
      local listener = signal.listen("SIGUSR2", "SIGUSR1")
      local handler = signal.handle("SIGHUP", print)
      assert.equal("<Listener SIGUSR1 SIGUSR2 open>", tostring(listener))
      assert.equal("<Handler SIGHUP open>", tostring(handler))
      listener:close()
      handler:close()
      assert.equal("<Listener SIGUSR1 SIGUSR2 closed>", tostring(listener))
      assert.equal("<Handler SIGHUP closed>", tostring(handler))
    end)
  end)

  it("ends when it is closed", function()
    run(function()
      local names = signal.listen("SIGUSR1")
      local task = async.create_task(function()
        for _ in names do error("a signal") end
        return "over"
      end)
      settle()
      names:close()
      assert.equal("over", async.await(task))
      assert.is_nil(names())
      names:close()
    end)
  end)

  it("ends with the run", function()
    local names
    run(function()
      names = signal.listen("SIGUSR1")
      kill("USR1")
      async.sleep(0)
    end)
    run(function() assert.is_nil(names()) end)
    assert.is_nil(names())
  end)

  it("may still be open when the state is closed, after the run or in it", function()
    for _, last in ipairs({ "", "os.exit(0, true)" }) do
      assert.equal("", child_output(prelude .. [[
        warn("@on")
        left = {}
        async.run(function()
          left[1] = signal.listen("SIGUSR1")
          left[2] = signal.listen("SIGUSR1", "SIGUSR2")
          left[2]:close()
          left[3] = signal.handle("SIGUSR1", print)
          ]] .. last .. " end)"))
    end
  end)

  it("is closed by a for loop that is left, and by the collector", function()
    if not is_linux then return pending("needs /proc") end
    run(function()
      async.call_later(0, kill, "USR1")
      for _ in signal.listen("SIGUSR1") do
        assert.is_true(system.in_mask("SigCgt", 10))
        if is_linux then break end
      end
      assert.is_false(system.in_mask("SigCgt", 10))
      signal.listen("SIGUSR1")
      assert.is_true(system.in_mask("SigCgt", 10))
      helpers.collect_garbage()
      assert.is_false(system.in_mask("SigCgt", 10))
    end)
  end)
end)

describe("signal.handle", function()
  it("calls its function each time, outside any task", function()
    run(function()
      local calls, event = {}, async.Event()
      local handler <close> = signal.handle("SIGUSR1", function(name)
        calls[#calls + 1] = { name, async.current_task() }
        event:set()
      end)
      for _ = 1, 2 do
        event:clear()
        kill("USR1")
        event:wait()
      end
      assert.same({ { "SIGUSR1" }, { "SIGUSR1" } }, calls)
      assert.is_truthy(handler)
    end)
  end)

  it("lives until it is closed, also when nobody holds it", function()
    run(function()
      local count = 0
      do signal.handle("SIGUSR1", function() count = count + 1 end) end
      helpers.collect_garbage()
      kill("USR1")
      while count == 0 do async.sleep(0.001) end
      assert.equal(1, count)
    end)
  end)

  it("is not called any more once it is closed", function()
    run(function()
      local handler = signal.handle("SIGUSR1", function() error("called") end)
      local watch <close> = signal.handle("SIGUSR1", function() end)
      kill("USR1")
      handler:close()
      handler:close()
      settle()
      assert.is_truthy(watch)
    end)
  end)

  it("has the errors of its function reported", function()
    local reports = helpers.collect(function(reports)
      signal.handle("SIGUSR1", function() error("on purpose") end)
      kill("USR1")
      while #reports == 0 do async.sleep(0.001) end
    end)
    assert.equal(1, #reports)
    assert.matches("on purpose", tostring(reports[1].error))
  end)

  it("alone does not keep the run going", function()
    assert.equal("over\n", child_output(prelude .. [[
      async.run(function() signal.handle("SIGUSR1", print) end)
      print("over")]]))
  end)
end)

describe("After the run", function()
  it("every signal is as it was", function()
    if not is_linux then return pending("needs /proc") end
    assert.equal("false true\ntrue\nfalse false false false false\n", child_output(prelude .. [[
      async.run(function()
        io.write(tostring(system.in_mask("SigCgt", 15)), " ")
        signal.handle("SIGTERM", print)
        async.create_task(function() signal.wait("SIGHUP", "SIGUSR1") end)
        async.sleep(0)
        signal.listen("SIGUSR2")
        print(system.in_mask("SigCgt", 15))
        print(system.in_mask("SigCgt", 1))
      end)
      for _, n in ipairs({ 1, 10, 12, 15 }) do io.write(tostring(system.in_mask("SigCgt", n)), " ") end
      print(system.in_mask("SigIgn", 15))]]))
  end)

  it("one that was ignored before is ignored again", function()
    if not is_linux then return pending("needs /proc") end
    local script = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(script) end)
    helpers.write_file(script, 'local async = require "luawait" ' .. prelude .. [[
      print(system.in_mask("SigIgn", 1))
      async.run(function()
        local one, other = signal.listen("SIGHUP"), (signal.listen("SIGHUP"))
        kill("HUP")
        print(one(), other())
        print(system.in_mask("SigIgn", 1))
        other:close()
        print(system.in_mask("SigIgn", 1))
        one:close()
        print(system.in_mask("SigIgn", 1))
        signal.handle("SIGHUP", print)
      end)
      print(system.in_mask("SigIgn", 1))]])
    assert.equal("true\nSIGHUP\tSIGHUP\nfalse\nfalse\ntrue\ntrue",
      system.output(("trap '' HUP; '%s' '%s'"):format(os.getenv("LUA") or "lua5.4", script)))
  end)

  it("a signal that nobody watches does what it does by default", function()
    local result = helpers.child(prelude .. [[
      async.run(function()
        local listener = signal.listen("SIGTERM")
        kill("TERM")
        print(listener())
        listener:close()
        kill("TERM")
        async.sleep(10)
      end)]])
    assert.equal("SIGTERM\n", result.stdout)
    assert.equal(128 + TERM, result.status)
  end)
end)

describe("SIGINT", function()
  it("is the program's own affair while it is watched", function()
    assert.equal("SIGINT\nSIGINT\nover\n", child_output(prelude .. [[
      async.run(function()
        local names = signal.listen("SIGINT")
        for _ = 1, 2 do
          kill("INT")
          print(names())
        end
        print("over")
      end)]]))
  end)

  it("interrupts the run again once it is watched no more", function()
    assert.equal("SIGINT\nKeyboardInterrupt\n", child_output(prelude .. [[
      local ok, err = pcall(async.run, function()
        async.call_later(0, kill, "INT")
        print(signal.wait("SIGINT"))
        kill("INT")
        async.sleep(10)
      end)
      print(err.name)]]))
  end)

  it("counts from then on, to the second time", function()
    assert.equal("SIGINT\nSIGINT\nbusy\nKeyboardInterrupt\n", child_output(prelude .. [[
      local ok, err = pcall(async.run, function()
        local names = signal.listen("SIGINT")
        for _ = 1, 2 do
          kill("INT")
          print(names())
        end
        names:close()
        kill("INT")
        local stop = os.clock() + 0.2
        repeat until os.clock() > stop
        print("busy")
        async.sleep(10)
      end)
      print(err.name)]]))
  end)

  it("can be watched where run leaves it alone", function()
    assert.equal("SIGINT\n", child_output(prelude .. [[
      async.run(function()
        async.call_later(0, kill, "INT")
        print(signal.wait("SIGINT"))
      end, { signals = false })]]))
  end)
end)

describe("Watching signals", function()
  it("leaves no descriptor behind", function()
    if not system.descriptors() then return pending("needs /proc") end
    local function count()
      run(function()
        async.call_later(0, kill, "USR1")
        signal.wait("SIGUSR1", "SIGHUP")
        signal.listen("SIGUSR2")
        signal.handle("SIGUSR2", print)
      end)
      helpers.collect_garbage()
      return system.descriptors()
    end
    count()
    local before = count()
    for _ = 1, 3 do assert.equal(before, count()) end
  end)
end)
