--- Steps of random programs that use processes, signals and the standard streams: see actions.lua.
local process = require "luawait.process"
local signal = require "luawait.signal"
local tty = require "luawait.tty"

local processes = {}

-- Ended by what it gets, by a signal, by itself; with output, and without an end to wait for.
local COMMANDS = {
  { "cat" }, { "sleep", "30" }, { "true" }, { "sh", "-c", "yes | head -c 200000; exit 3" }, { "/none" },
}

local function use_process(env, child, bounded)
  for _ = 1, env.rng(4) do
    local how = env.rng(6)
    if how == 1 then bounded(env, child.wait, child)
    elseif how == 2 then child:kill(env.rng(2) == 1 and "SIGTERM" or nil)
    elseif how == 3 then child:terminate()
    elseif how == 4 then bounded(env, child.stdin.write, child.stdin, ("x"):rep(env.rng(100000)))
    elseif how == 5 then bounded(env, child.stdout.read, child.stdout)
    else
      tostring(child)
    end
  end
end

-- SIGCHLD comes from the processes; where nobody waits for it, it is ignored.
local function use_signal(env, bounded)
  local how = env.rng(3)
  if how == 1 then return bounded(env, signal.wait, "SIGCHLD", "SIGWINCH") end
  if how == 2 then
    local listener <close> = signal.listen("SIGCHLD")
    bounded(env, listener)
    if env.rng(2) == 1 then listener:close() end
  else
    local handler <close> = signal.handle("SIGCHLD", function() end)
    bounded(env, process.run, { "true" })
    handler:close()
  end
end

--- Adds the steps: `tools` has functions of actions.lua.
function processes.add_steps(step, tools)
  local bounded, pick, watch = tools.bounded, tools.pick, tools.watch

  step(function(env)
    bounded(env, process.run, pick(env, COMMANDS), {
      input = env.rng(2) == 1 and ("x"):rep(env.rng(100000)) or nil, check = env.rng(2) == 1,
      timeout = env.rng(2) == 1 and env.rng(5) / 1000 or nil, group = env.rng(3) == 1, cwd = "/",
    })
  end)
  step(function(env)
    bounded(env, process.shell, "echo $X; exec sleep 0.001", { env = { X = "1" }, stderr = "stdout" })
  end)
  step(function(env)
    local child <close> = watch(env, process.spawn(pick(env, COMMANDS)))
    env.child = child
    use_process(env, child, bounded)
  end)
  step(function(env)
    if env.child then use_process(env, env.child, bounded) end -- of another task
    watch(env, process.spawn({ "sleep", "30" })) -- and drops it
  end)
  step(function(env) use_signal(env, bounded) end)
  step(function(env)
    pick(env, { tty.stdin, tty.stdout, tty.stderr })()
    pick(env, { tty.winsize, function() tty.set_mode("raw") end })()
  end)
end

return processes
