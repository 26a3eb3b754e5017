---@meta luawait.std

-- What `require "luawait.std"` gives: functions of the standard library whose callbacks may wait. Outside a task
-- they are like the originals, in their results, their argument errors and their positions.
--
-- Common to all: they wait when a callback does. A callback that raises, or whose wait is cancelled, ends the call
-- with that error, and the call leaves nothing behind but what is said below.

---@class luawait.std
---@field coroutine luawait.std.coroutine
local std = {}

---`pcall` that does not catch a CancelledError: it passes, as, in a task, does a KeyboardInterrupt. The function may
---wait. The same as `async.pcall`.
---@param fn function
---@param ... any its arguments
---@return boolean ok
---@return any ... its results, or the error
function std.pcall(fn, ...) end

---`xpcall` that does not catch a CancelledError: it passes, as, in a task, does a KeyboardInterrupt, unseen by the
---handler. The function may wait, the handler not. The same as `async.xpcall`.
---@param fn function
---@param handler fun(err: any): any
---@param ... any its arguments
---@return boolean ok
---@return any ... its results, or what the handler returned
function std.xpcall(fn, handler, ...) end

---Lua's `coroutine` library with another `resume` and `wrap`. A wait inside a coroutine that these resume suspends
---the task, and the coroutine goes on where it was; to the one who resumes it nothing is visible of this. A
---CancelledError that leaves the coroutine is raised by `resume`, not returned.
---@class luawait.std.coroutine: coroutinelib
local std_coroutine = {}
std.coroutine = std_coroutine

---`coroutine.resume` through which a wait reaches the task. Cancelled: the wait in the coroutine raises CancelledError.
---@param co thread
---@param ... any
---@return boolean ok
---@return any ...
function std_coroutine.resume(co, ...) end

---`coroutine.wrap` with that `resume`.
---@param fn fun(...): ...
---@return fun(...): ...
function std_coroutine.wrap(fn) end

---`coroutine.create`, as it is.
---@param fn fun(...): ...
---@return thread
function std_coroutine.create(fn) end

---`coroutine.yield`, as it is: it yields to whoever resumed the coroutine. In a task, outside a coroutine, it raises
---RuntimeError: use `async.sleep(0)`.
---@param ... any
---@return any ...
function std_coroutine.yield(...) end

---`coroutine.status`, as it is.
---@param co thread
---@return "running" | "suspended" | "normal" | "dead"
function std_coroutine.status(co) end

---`coroutine.running`, as it is. That of a task must not be kept past the task's end: it is used again.
---@return thread running
---@return boolean ismain
function std_coroutine.running() end

---`coroutine.isyieldable`, as it is.
---@param co? thread
---@return boolean
function std_coroutine.isyieldable(co) end

---`coroutine.close`, as it is: the `<close>` variables of the coroutine may not wait.
---@param co thread
---@return boolean ok
---@return any err
function std_coroutine.close(co) end

---`table.sort` whose `less`, `__lt`, `__index`, `__newindex` and `__len` may wait. Sorts in place, and is stable.
---
---Cancelled, or when a comparison raises: the list is as it was, since it changes after the last comparison only. What
---others do to its items meanwhile is overwritten. A `less` that is no order gives some permutation, never an endless
---loop.
---@generic T
---@param list T[] a table, or an object with `__index`, `__newindex` and `__len`
---@param less? fun(a: T, b: T): boolean whether `a` comes before `b` (default `a < b`)
function std.sort(list, less) end

---`string.gsub` whose replacement function, or replacement table's `__index`, may wait. The same in all else.
---@param s string | number
---@param pattern string | number
---@param repl string | number | table | fun(...): string | number | false | nil
---@param n? integer the most replacements to make (default: no limit)
---@return string result
---@return integer count how many matches there were
function std.gsub(s, pattern, repl, n) end

---`require` whose searchers and modules may wait, at the top level of a file too. A module that another task is
---loading is waited for.
---
---Cancelled, or when the load fails: `package.loaded` is as it was; one of the tasks that wait for the module loads
---it anew.
---Raises an error for a module that needs itself while nothing of it is in `package.loaded` yet, also where several
---tasks load modules that need each other.
---@param name string
---@return unknown module
---@return unknown loader_data only from the call that loaded it
function std.require(name) end

---`tostring` whose `__tostring` may wait.
---@param value any
---@return string
function std.tostring(value) end

---`print` whose arguments' `__tostring` may wait. The line is written in one piece, when all of it is text.
---@param ... any
function std.print(...) end

---`load` whose reader function may wait. It is called until its end before anything is compiled. An error in it is
---returned as nil and the error; a CancelledError is raised.
---@param chunk string | fun(): string?
---@param name? string
---@param mode? "b" | "t" | "bt"
---@param env? table
---@return function? chunk nil if it could not be read or compiled
---@return any err
function std.load(chunk, name, mode, env) end

---Puts the functions of this module in place of the standard ones: `pcall`, `xpcall`, `require`, `tostring`, `print`,
---`load`, `table.sort`, `string.gsub`, and `resume` and `wrap` of `coroutine`. It sets the fields of the existing
---tables: a module that keeps the library in a local sees them too, one that keeps the function itself does not.
---Nothing is patched without it. Twice is once.
function std.install() end

---Takes back what `install` did. A function that somebody else has replaced since is left as it is.
function std.uninstall() end

return std
