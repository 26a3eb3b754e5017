--- The method `with` of what can be acquired. In Lua, because a body that is called from C would cost C stack.
local core = require "luawait.core"
local check = require "luawait.check"

--- with(fn, ...): acquires, calls fn(...), releases on every way out; returns what fn returned.
local function with(self, fn, ...)
  check.callable(fn, 1, "with")
  local held <close> = self:acquire()
  return fn(...)
end

core.lock_methods.with, core.semaphore_methods.with = with, with

return with
