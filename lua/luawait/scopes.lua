--- Deadlines: async.timeout, timeout_at and wait_for. In Lua, because a body that is called from C would cost C stack.
local core = require "luawait.core"
local check = require "luawait.check"
local await = require "luawait.await"

local scopes = {}

--- timeout(delay): a scope with a deadline `delay` seconds from now (nil: none), to be held in a <close> variable;
-- leaving it after the deadline raises TimeoutError. timeout(delay, fn, ...): runs fn(...) in this task in such a
-- scope, and returns its results. When the deadline comes, the wait that the task is in is cancelled; what had
-- completed by then is kept. After asyncio.timeout.
function scopes.timeout(delay, fn, ...)
  check.seconds(delay, 1, "timeout")
  if fn == nil then return core.timeout_scope(delay) end
  check.callable(fn, 2, "timeout")
  local scope <close> = core.timeout_scope(delay)
  return core.plain(fn)(...)
end

--- The same with a deadline in seconds of the loop's clock (async.time).
function scopes.timeout_at(when, fn, ...)
  check.seconds(when, 1, "timeout_at")
  if fn == nil then return core.timeout_scope_at(when) end
  check.callable(fn, 2, "timeout_at")
  local scope <close> = core.timeout_scope_at(when)
  return core.plain(fn)(...)
end

local function no_time_left(awaitable)
  local future = core.is_future(awaitable)
  if future and awaitable:done() then return awaitable:result() end
  if future then
    awaitable:cancel()
    core.wait {awaitable}
  else
    core.discard(awaitable)
  end
  if not future or awaitable:cancelled() then error(core.errors.TimeoutError("timed out")) end
  return awaitable:result()
end

--- Waits for an awaitable, at most `timeout` seconds (nil: for ever). After that a task or future is cancelled, and
-- when it has ended TimeoutError is raised; a Coroutine or function runs in this task, whose wait is cancelled. A
-- result that has arrived wins over the deadline. With a timeout of 0 or less a Coroutine or function is not
-- started. After asyncio.wait_for.
function scopes.wait_for(awaitable, timeout)
  check.awaitable(awaitable, 1, "wait_for")
  check.seconds(timeout, 2, "wait_for")
  if timeout == nil then return await(awaitable) end
  if timeout <= 0 then return no_time_left(awaitable) end
  local scope <close> = core.timeout_scope(timeout)
  return await(awaitable)
end

return scopes
