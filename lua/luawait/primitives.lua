--- The methods of locks, semaphores and conditions that call the user's functions. In Lua, because a function that is
--- called from C could not wait without costing C stack.
local core = require "luawait.core"
local check = require "luawait.check"

--- with(fn, ...): acquires, calls fn(...), releases on every way out; returns what fn returned.
local function with(self, fn, ...)
  check.callable(fn, 1, "with")
  local held <close> = self:acquire()
  return fn(...)
end

--- condition:wait_for(predicate): waits until predicate() is true, and returns what it returned: it is called with the
--- lock held, at once and after each notification. Otherwise as condition:wait(). After asyncio.Condition.wait_for.
local function wait_for(self, predicate)
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
