--- The methods of locks, semaphores and conditions that call the user's functions. In Lua, because a function that is
--- called from C could not wait without costing C stack.
local core = require "luawait.core"
local check = require "luawait.check"

-- A method that gets hold of another object, by a `.` in the place of a `:`, must not go on with that.
local function check_self(self, method, name, expected)
  if type(self) == "userdata" and self[name] == method then return end
  check.fail(1, name, ("%s expected, got %s"):format(expected, type(self)), 3)
end

--- with(fn, ...): acquires, calls fn(...), releases on every way out; returns what fn returned.
local function with(self, fn, ...)
  check_self(self, core.lock_methods.with, "with", "Lock, Semaphore or Condition")
  check.callable(fn, 1, "with")
  local held <close> = self:acquire()
  return core.plain(fn)(...)
end

--- condition:wait_for(predicate): waits until predicate() is true, and returns what it returned: it is called with the
--- lock held, at once and after each notification. Otherwise as condition:wait(). After asyncio.Condition.wait_for.
local function wait_for(self, predicate)
  check_self(self, core.condition_methods.wait_for, "wait_for", "Condition")
  check.callable(predicate, 1, "wait_for")
  local result = predicate()
  while not result do
    self:wait()
    result = predicate()
  end
  return result
end

core.lock_methods.with, core.semaphore_methods.with, core.condition_methods.with = with, with, with
core.condition_methods.wait_for = wait_for
