---@meta luawait.signal

-- What `require "luawait.signal"` gives. What waits, what a wrong argument raises and what a cancellation does is said
-- at the top of types/luawait.lua. A signal goes by its name ("SIGTERM"). One that is watched does nothing else until
-- the last one who watches it, in the way of any of these functions, ends; then it is as it was before.

---@class luawait.signal
local signal = {}

---Waits for the first of these signals. One that comes while nobody waits or listens does what it does by default: to
---wait repeatedly, use listen. Raises OSError; RuntimeError outside a task. A cancelled one leaves nothing behind.
---@param name string such as "SIGTERM"; SIGKILL, SIGSTOP and those that tell of a fault cannot be waited for
---@param ... string further ones
---@return string name of the signal that came
function signal.wait(name, ...) end

---Listens to these signals from now on: an iterator of the names of those that come, for a `for` loop, which closes it,
---or a `<close>` variable. Each step waits until one has come since the step before; one that came several times
---meanwhile is given once. Several listeners each get every signal. One that is dropped is closed when it is collected.
---Raises OSError. A cancelled step loses no signal.
---@param name string
---@param ... string further ones
---@return luawait.signal.Listener
function signal.listen(name, ...) end

---Calls `fn(name)` on the loop each time the signal has come, outside any task, as async.call_soon does; an error goes
---to the exception handler. Lives until it is closed or the run ends, also when nobody holds the handler, and does not
---keep the run going once its main task has ended. Raises OSError.
---@param name string
---@param fn fun(name: string)
---@return luawait.signal.Handler
function signal.handle(name, fn) end

---@class luawait.signal.Listener
---@overload fun(): string?
local Listener = {}

---Listens no more; whoever waits in a step gets nil. Never waits. Twice is fine.
function Listener:close() end

---@class luawait.signal.Handler
local Handler = {}

---The function is not called any more. Never waits. Twice is fine.
function Handler:close() end

return signal
