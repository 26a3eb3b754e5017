--- async.await: written in Lua because its calls must be tail calls. A call from C would cost C stack, of which Lua
-- allows about 200 levels; like this, awaits nest as deep as Lua's own stack goes.
local core = require "luawait.core"
local begin = core.begin

local function call(fn, ...) return fn(...) end

--- Waits for an awaitable and returns all of its results, or raises its error. A Coroutine, a function or an object
-- with __await runs inside the current task, as a call; for a task or future the current task is suspended until
-- it is done. A cancellation of the current task cancels an awaited task or future too. Raises RuntimeError
-- outside a task, and of a Coroutine that was used before.
-- @param x Task | Future | Coroutine | function | an object whose metatable has __await
local function await(x) return call(begin(x)) end

core.define_await(await)

return await
