--- A program is run with its first call of libuv (or of malloc, or for a socket) failing, then with its second, and so
-- on to the last. As testing.fail_at_every_call, but for programs that run loops of their own, and with a look at what
-- each call leaves in the process. Everything happens in a child, on the build in which calls can fail:
--
--   local faults = require "spec.support.faults"
--   local rounds, names = faults.every_call(source)   -- raises with what the child says if anything is wrong
--
-- A round may end well or with an error. It must not crash or hang, may not raise DeadlockError or TimeoutError (a task
-- has lost its wake-up), and leaves no memory, no descriptor and no open handle behind.
local helpers = require "spec.support.helpers"
local programs = require "spec.support.programs"

local faults = {}

--- Is there such a build? Not where that is not possible (macOS).
function faults.available()
  if faults.path then return true end
  if os.execute("uname | grep -q Darwin") then return false end
  faults.path = helpers.built("faults") .. "/?.so;" .. package.cpath
  return true
end

local driver = [==[
local testing_faults = require "luawait.testing.faults"
faults = require("luawait.core").call_faults -- the programs see it
local count_descriptors = require "spec.support.descriptors"
local program = assert(load(SOURCE, "=program"))
local codes = { DeadlockError = true, TimeoutError = true }
local hit_names = {}

local function settled_state()
  collectgarbage()
  collectgarbage()
  local state = faults.state()
  state.descriptors = count_descriptors() or 0
  return state
end

local function check(round, hit, before, ok, err)
  local after = settled_state()
  local function bad(text, ...)
    io.stderr:write(("call %d (%s): "):format(round, hit), text:format(...), "\n")
    os.exit(9)
  end
  if not ok and type(err) == "table" and codes[err.name] then bad("a wake-up was lost: %s", err) end
  if not ok and type(err) ~= "table" and not tostring(err):find("memory") then bad("not an error object: %s", err) end
  -- Up to four spare blocks are kept for streams.
  if after.blocks > before.blocks + 4 then bad("%d blocks, %d before", after.blocks, before.blocks) end
  if after.descriptors > before.descriptors then
    bad("%d descriptors, %d before", after.descriptors, before.descriptors)
  end
  if after.busy_loops > 0 then bad("a loop was closed with an open handle") end
end

assert(pcall(program))
local first = settled_state()
local round = 0
repeat
  round = round + 1
  testing_faults.begin({ uv = round })
  local ok, err = pcall(program)
  local hit = faults.state().hit
  testing_faults.finish()
  faults.busy(false)
  if hit then
    check(round, hit, first, ok, err)
    hit_names[hit] = true
  else
    assert(ok, err)
  end
until not hit
for name in pairs(hit_names) do print(name) end
print(round - 1)]==]

--- As helpers.child_output, on that build.
function faults.child_output(source, seconds)
  return helpers.child_output(source, { bare = true, seconds = seconds or 120, env = { LUA_CPATH = faults.path } })
end

--- The calls that `source` makes, in order, each with what came of it when it failed: "OSError", the name of the error,
--- or "well". `source` is run, after `before`, in a task, once for each of them.
function faults.calls(before, source)
  return faults.child_output(([[
    local async, helpers = require "luawait", require "spec.support.helpers"
    local plans = require("luawait.core").call_faults
    async.run(function()
      %s
      local n = 0
      repeat
        n = n + 1
        plans.plan(n)
        local ok, err = pcall(function() %s end)
        local hit = plans.state().hit
        plans.plan(0)
        if hit then print(hit, ok and "well" or helpers.kind(err)) end
      until not hit
    end)]]):format(before, source))
end

--- Returns the number of rounds and the set of the names of the calls that failed in them.
function faults.every_call(source)
  local output = faults.child_output(("local SOURCE = %q\n%s\n%s"):format(source, programs.prelude_of(source), driver))
  local names = {}
  for name in output:gmatch("[^\n]+") do names[name] = true end
  return tonumber(output:match("(%d+)\n$")), names
end

return faults
