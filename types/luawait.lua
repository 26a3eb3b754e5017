---@meta luawait

-- What `require "luawait"` gives. Definitions for the Lua language server, and the reference of every function:
-- what it takes and returns, what it raises, when it waits, and what a cancellation leaves behind.
--
-- Times are seconds (number, fractions allowed) of a monotonic clock. A wrong argument raises Lua's own message,
-- `bad argument #1 to 'sleep' (number expected, got string)`, before anything is started or taken; so does a key that
-- is no option of the function, `bad argument #2 to 'wait' (unknown option 'time_out')`. That is not repeated below.
-- Every function that says "Waits" suspends the calling task, raises RuntimeError where it cannot do so (outside a
-- task, below a C function that Lua cannot yield from, in a coroutine of the user's own), and raises CancelledError
-- when the task is cancelled meanwhile. docs/CONCURRENCY.md has the whole semantics.

---Everything that can be awaited: a Task or Future (its results), a Coroutine (runs it, once), a function (called
---without arguments), or an object whose metatable has `__await` (called with the object).
---@alias luawait.Awaitable luawait.Task | luawait.Future | luawait.Coroutine | fun(): ... | luawait.AwaitableObject

---An object of the user's: its metatable has a function `__await`, whose results are those of awaiting it. The function
---runs in the task that awaits, and may wait.
---@class luawait.AwaitableObject

---@class luawait
---@overload fun(fn: fun(...): ...): fun(...): luawait.Coroutine
---@field _VERSION string three numbers with dots between them
---@field errors luawait.errors the error classes, and what goes with them
---@field ALL_COMPLETED "ALL_COMPLETED" for `wait`: until all are done
---@field FIRST_COMPLETED "FIRST_COMPLETED" for `wait`: until one is done
---@field FIRST_EXCEPTION "FIRST_EXCEPTION" for `wait`: until one has failed, or all are done
---@field BaseError luawait.ErrorClass
---@field CancelledError luawait.ErrorClass
---@field KeyboardInterrupt luawait.ErrorClass
---@field Error luawait.ErrorClass
---@field TimeoutError luawait.ErrorClass
---@field RuntimeError luawait.ErrorClass
---@field ValueError luawait.ErrorClass
---@field InvalidStateError luawait.ErrorClass
---@field DeadlockError luawait.ErrorClass
---@field QueueEmpty luawait.ErrorClass
---@field QueueFull luawait.ErrorClass
---@field QueueShutDown luawait.ErrorClass
---@field BrokenBarrierError luawait.ErrorClass
---@field ExceptionGroup luawait.ErrorClass
---@field OSError luawait.ErrorClass
---@field IncompleteReadError luawait.ErrorClass
---@field LimitOverrunError luawait.ErrorClass
---@field ProcessError luawait.ErrorClass
local async = {
  ALL_COMPLETED = "ALL_COMPLETED",
  FIRST_COMPLETED = "FIRST_COMPLETED",
  FIRST_EXCEPTION = "FIRST_EXCEPTION",
}

-- ---- running ----

---What calling an async function (`async(fn)`) returns: a function and its arguments, not started. It is run once, by
---`await`, `create_task`, `gather` and the like; the second time raises RuntimeError. One that is collected without
---having been used is reported to the exception handler: `coroutine 'NAME' was never awaited`. It has no methods.
---@class luawait.Coroutine: luawait.AwaitableObject

---@class luawait.RunOptions
---@field debug? boolean report slow steps, swallowed cancellations, and where tasks were made (default false)
---@field slow_callback? number seconds: in debug mode, longer steps are reported (default 0.1)
---@field watchdog? number seconds: a longer step has its Lua stack written to stderr while it lasts (default 0: off)
---@field signals? boolean SIGINT cancels the main task, a second one interrupts at once (default true)
---@field shutdown_timeout? number seconds that tasks get to end when they are cancelled on the way out (default 10)

---Runs an awaitable as the main task (`Task-1`) of a fresh event loop, and returns all of its results, or raises its
---error, the very same value. On the way out, in either case, it cancels all tasks that are left and waits for their
---cleanup, closes what the loop opened, and reports the failures that nobody has retrieved. A task that does not end
---within `opts.shutdown_timeout` is closed by force, and that is reported.
---
---Waits outside of tasks: it blocks the Lua state until then. May be called again afterwards; one Lua state has one
---loop at a time.
---
---Raises the main task's error; RuntimeError inside a running loop, and for a Coroutine that was used before;
---DeadlockError when tasks wait and nothing can wake them, with a list of the tasks and what each waits for;
---KeyboardInterrupt after SIGINT. After `asyncio.run`.
---@param awaitable luawait.Awaitable
---@param opts? luawait.RunOptions
---@return any ... the results of the main task
function async.run(awaitable, opts) end

---`run` in steps: one loop for several calls of `run`, between which the tasks that are left stand still. The loop is
---opened by the first `run`. Best held in a `<close>` variable. After `asyncio.Runner`.
---@class luawait.Runner
local Runner = {}

---A new runner; its loop is not open yet. After `asyncio.Runner`.
---@param opts? luawait.RunOptions
---@return luawait.Runner
function async.Runner(opts) end

---Runs an awaitable as the main task on the runner's loop, which stays open with the other tasks in it. Waits as
---`async.run`.
---Raises as `async.run`; RuntimeError when the runner is closed, or another Runner is open. After `asyncio.Runner.run`.
---@param awaitable luawait.Awaitable
---@return any ... its results
function Runner:run(awaitable) end

---Cancels the tasks that are left and closes the loop, as `async.run` does on its way out. Waits for these tasks. Twice
---is fine.
---Raises RuntimeError inside the running loop; KeyboardInterrupt if SIGINT comes meanwhile: it is closed then. After
---`asyncio.Runner.close`.
function Runner:close() end

---Waits for an awaitable and returns all of its results. A Coroutine, a function or an object with `__await` runs
---inside the current task, as a call (nesting costs Lua stack only); a finished task or future gives its results at
---once.
---
---Waits for: the end of a task or future; else whatever the called function waits for.
---Cancelled: the awaited task or future is cancelled too, and `await` ends when that has ended: with CancelledError,
---or with what the other task raised or returned instead.
---Raises: the error of what it awaits, the very same value; CancelledError if that was cancelled; RuntimeError
---outside a task, for a Coroutine that was used before, and for a task that awaits itself. After Python's `await`.
---@param x luawait.Awaitable
---@return any ... all its results
function async.await(x) end

---@class luawait.TaskOptions
---@field name? string its name (default `Task-N`, counted in each loop from the main task, `Task-1`)

---Makes a task that runs the awaitable, from the loop's next turn on. The loop keeps it alive until it ends. An
---awaitable that is a task or future is awaited by the new task. Does not wait.
---Raises RuntimeError where no loop runs, and for a Coroutine that was used before. After `asyncio.create_task`.
---@param awaitable luawait.Awaitable
---@param opts? luawait.TaskOptions
---@return luawait.Task
function async.create_task(awaitable, opts) end

---The running task; nil in a callback and where no loop runs. After `asyncio.current_task`.
---@return luawait.Task?
function async.current_task() end

---The tasks that have not ended, oldest first; an empty array where there is no loop. After `asyncio.all_tasks`.
---@return luawait.Task[]
function async.all_tasks() end

---Suspends the task for `delay` seconds, never less, and returns the other arguments. With a delay of 0 or less the
---other ready tasks and callbacks have their turn once; with `math.huge` it sleeps until it is cancelled.
---
---Waits for: its deadline. Sleeps with the same deadline end in the order of the calls.
---Cancelled: leaves nothing behind. After `asyncio.sleep`.
---@generic T
---@param delay number seconds; not NaN
---@param ... T what to return
---@return T ...
function async.sleep(delay, ...) end

---The loop's clock: seconds of a monotonic clock, read anew at each call. Only differences mean something. Works
---without a loop. After asyncio's `loop.time`.
---@return number seconds
function async.time() end

---A call that the loop will make. It need not be kept.
---@class luawait.Handle
local Handle = {}

---Takes the call back, and lets go of the function and its arguments. Too late or twice does nothing. After
---`asyncio.Handle.cancel`.
function Handle:cancel() end

---Whether it was cancelled before its call. After `asyncio.Handle.cancelled`.
---@return boolean
function Handle:cancelled() end

---When it is due, in seconds of the loop's clock; nil for `call_soon`. After `asyncio.TimerHandle.when`.
---@return number?
function Handle:when() end

---Has the loop call `fn(...)` at its next turn, outside any task, after what is ready by now. An error in `fn` goes
---to the exception handler. Does not wait; `fn` may not wait either. Raises RuntimeError where no loop runs. After
---asyncio's `loop.call_soon`.
---@param fn fun(...)
---@param ... any its arguments
---@return luawait.Handle
function async.call_soon(fn, ...) end

---As `call_soon`, `delay` seconds from now, never sooner; never with `math.huge`. After asyncio's `loop.call_later`.
---@param delay number seconds; not NaN
---@param fn fun(...)
---@param ... any its arguments
---@return luawait.Handle
function async.call_later(delay, fn, ...) end

---As `call_soon`, once the loop's clock shows `when`. After asyncio's `loop.call_at`.
---@param when number seconds of `async.time()`; not NaN
---@param fn fun(...)
---@param ... any its arguments
---@return luawait.Handle
function async.call_at(when, fn, ...) end

---What the exception handler gets. `message` is always there, the others where they apply.
---@class luawait.Report
---@field message string what happened
---@field error? any the error value
---@field traceback? string of where the error was raised, or of where the task was
---@field created_at? string in debug mode: the traceback of where the task was made
---@field task? luawait.Task
---@field future? luawait.Future the task or future that failed
---@field handle? luawait.Handle in debug mode: the callback that was slow

---Sets what is called with the things that nobody else can be told: an error in a callback, a failure that nobody has
---retrieved, a Coroutine never awaited, a task closed by force, and the warnings of debug mode. It runs on the loop,
---outside any task, and cannot wait. If it raises, that and the report go to stderr. One that is set while a loop is
---open goes with that loop; one that is set outside is the default for all loops. After asyncio's
---`loop.set_exception_handler`.
---@param fn fun(report: luawait.Report)|nil nil restores the default, which writes a paragraph to stderr
function async.set_exception_handler(fn) end

-- ---- futures and tasks ----

---A result that comes later: open, then done with results, with an error, or cancelled. `async.await` waits for it.
---After `asyncio.Future`.
---@class luawait.Future
local Future = {}

---A new open future, of no loop in particular.
---@return luawait.Future
function async.Future() end

---Calls `fn(..., callback)` in the current task, waits until `callback` is called, and returns what it was called with:
---all of it, as it is, errors in the first place too. A callback that is called before `fn` returns is fine. What comes
---after the first call of it, or after the wait was cancelled, is dropped. It may be called from anywhere in this Lua
---state, the callbacks of another library on the same loop among them.
---
---Waits for the callback, and for whatever `fn` waits for. Cancelled: the wait ends; what `fn` has begun goes on.
---Raises what `fn` raises; and where it has not called back, but returned nil or false and a second value (Lua's and
---luv's way to tell of a failure), that value. A callback that cannot come any more ends the run with DeadlockError,
---which names `fn`.
---@param fn fun(...): ... takes the callback as its last argument
---@param ... any its arguments before that
---@return any ... what the callback was called with
function async.from_callback(fn, ...) end

---Whether it has results, has failed or was cancelled. After `asyncio.Future.done`.
---@return boolean
function Future:done() end

---Whether it was cancelled. After `asyncio.Future.cancelled`.
---@return boolean
function Future:cancelled() end

---All its results, as often as asked. Does not wait.
---Raises its error; CancelledError if it was cancelled; InvalidStateError if it is not done. After
---`asyncio.Future.result`.
---@return any ...
function Future:result() end

---Its error; nil if it has results. Asking counts as retrieving the failure.
---Raises CancelledError if it was cancelled; InvalidStateError if it is not done. After `asyncio.Future.exception`.
---@return any error
function Future:exception() end

---Ends it with these results, any number, nils among them. Its waiters are woken in the order in which they came. A
---Task has no such method. Raises InvalidStateError if it is done. After `asyncio.Future.set_result`.
---@param ... any
function Future:set_result(...) end

---Ends it with an error: any value but nil. One that is a CancelledError cancels it. A Task has no such method.
---Raises InvalidStateError if it is done. After `asyncio.Future.set_exception`.
---@param err any
function Future:set_exception(err) end

---Cancels it: those who await it get CancelledError. For a task see `Task:cancel`. After `asyncio.Future.cancel`.
---@param msg? string the message of the CancelledError (default "")
---@return boolean cancelled false if it was done already
function Future:cancel(msg) end

---Has the loop call `fn(future)` when it is done; at the next turn if it is already. Callbacks and waiters take their
---turn in the order in which they came. After `asyncio.Future.add_done_callback`.
---@param fn fun(future: luawait.Future)
function Future:add_done_callback(fn) end

---Takes back all callbacks that are this function. After `asyncio.Future.remove_done_callback`.
---@param fn fun(future: luawait.Future)
---@return integer count how many
function Future:remove_done_callback(fn) end

---@alias luawait.TaskState "created" | "running" | "waiting" | "done" | "failed" | "cancelled"

---A function that runs concurrently with others; a future of its results. Made by `create_task`, and by the
---combinators for what is no task or future. `tostring` gives `<Task pending name='Task-2' fn=fetch@demo.lua:3>`.
---After `asyncio.Task`.
---@class luawait.Task: luawait.Future
local Task = {}

---Requests the task's cancellation: the wait that it is in, or else its next one, raises CancelledError. A task that
---has not begun never runs. A task that awaits a task, a future or a gather has that cancelled instead, and goes on
---with what comes of it. The task may catch the error and clean up, waiting as it likes; it is cancelled only when it
---ends with the error. Does not wait: `pcall(async.await, task)` or `async.wait { task }` does. After
---`asyncio.Task.cancel`.
---@param msg? string the message of the CancelledError (default "")
---@return boolean requested false if it had ended already
function Task:cancel(msg) end

---How many requests to cancel it were made, less those taken back. After `asyncio.Task.cancelling`.
---@return integer
function Task:cancelling() end

---Takes one request back; with the last one also a cancellation that has not been raised yet. Never below 0.
---After `asyncio.Task.uncancel`.
---@return integer left how many are left
function Task:uncancel() end

---Its name, `Task-N` by default. After `asyncio.Task.get_name`.
---@return string
function Task:get_name() end

---Gives it a name, also when it has ended. After `asyncio.Task.set_name`.
---@param name string
function Task:set_name(name) end

---Where it stands. A task that is ready to go on counts as "waiting".
---@return luawait.TaskState
function Task:state() end

---The traceback of where it is; of a failed one, of where its error was raised; else "". After
---`asyncio.Task.get_stack`.
---@return string
function Task:get_stack() end

---Writes its description and its stack to stderr. After `asyncio.Task.print_stack`.
function Task:print_stack() end

---What it is parked on, in words, as in `semaphore (0 free, 2 waiting)`; nil when it is not parked.
---@return string?
function Task:waiting_on() end

-- ---- combinators ----

---A failed slot of a gather with `return_exceptions`. `async.is_failure` tells it from a result.
---@class luawait.Failure
---@field error any the very value that was raised; a CancelledError if the child was cancelled
---@field traceback? string of where it was raised; nil where none is known

---Whether the value is a Failure.
---@param value any
---@return boolean
function async.is_failure(value) end

---@class luawait.GatherOptions
---@field return_exceptions? boolean put a Failure into each failed slot, and raise nothing (default false)

---Runs awaitables at the same time and returns their first results in the order of the arguments. What is no task or
---future becomes a task. Given one plain table, an array or a keyed one, it returns a new table with the same keys,
---and the number of entries as `n` for an array. A task or Coroutine that is given twice runs once and fills both
---slots.
---
---Waits for: all of them, or the first failure; not at all when they are done already.
---Cancelled: cancels all children and ends when they have ended, with CancelledError.
---Raises: the first failure, at once; the others go on, and their later failures count as retrieved. With
---`return_exceptions` none. RuntimeError for a Coroutine that was used before. After `asyncio.gather`.
---@overload fun(...: luawait.Awaitable): ...
---@generic K
---@param awaitables table<K, luawait.Awaitable>
---@param opts? luawait.GatherOptions
---@return table<K, any> results `n` is their number, for an array
function async.gather(awaitables, opts) end

---@class luawait.WaitOptions
---@field timeout? number seconds after which to return in any case; 0 or less: after one turn (default: no limit)
---@field return_when? "ALL_COMPLETED" | "FIRST_COMPLETED" | "FIRST_EXCEPTION" `async.ALL_COMPLETED` by default

---Waits for several, without raising or cancelling anything. What is no task or future becomes a task, which stands
---in the results. Being returned does not count as retrieving a failure.
---
---Waits for: what `opts` says; not at all when that is so already.
---Cancelled: leaves the tasks and futures as they are.
---Raises: ValueError for an empty list; RuntimeError for a Coroutine that was used before. After `asyncio.wait`.
---@param list luawait.Awaitable[]
---@param opts? luawait.WaitOptions
---@return (luawait.Task | luawait.Future)[] done in the order of the list
---@return (luawait.Task | luawait.Future)[] pending in the order of the list
function async.wait(list, opts) end

---Waits for an awaitable, at most `timeout` seconds. A Coroutine, a function or an object with `__await` runs in the
---calling task, whose wait is then cancelled; a task or future is cancelled itself. A result that arrived wins over the
---deadline, also in the same turn. With a timeout of 0 or less a task or future that is done gives its results, any
---other is cancelled at once, and a Coroutine or function is not started.
---
---Waits for: the awaitable; when the time is over, for its cleanup to end.
---Cancelled: cancels the awaitable, waits for it to end, and raises CancelledError.
---Raises: TimeoutError when the time is over; what a failing cleanup raises instead; the awaitable's error. If the
---awaitable swallows the cancellation and returns, its results are returned. After `asyncio.wait_for`.
---@param awaitable luawait.Awaitable
---@param timeout? number seconds; nil waits for ever
---@return any ... its results
function async.wait_for(awaitable, timeout) end

---A scope with a deadline, for a `<close>` variable. Leaving the block after the deadline with the CancelledError
---that the deadline caused raises TimeoutError instead. After `asyncio.Timeout`.
---@class luawait.Timeout
local Timeout = {}

---Moves the deadline; from any task. A time that is over ends the block at its next wait.
---Raises RuntimeError if it has expired or the block was left. After `asyncio.Timeout.reschedule`.
---@param when? number seconds of `async.time()`; nil: no deadline
function Timeout:reschedule(when) end

---Its deadline in seconds of the loop's clock; nil: none. After `asyncio.Timeout.when`.
---@return number?
function Timeout:when() end

---Whether the deadline came while the block was running, also when the block swallowed the interruption.
---After `asyncio.Timeout.expired`.
---@return boolean
function Timeout:expired() end

---With a function: runs `fn(...)` in this task under a deadline and returns its results. Without: the scope, to be
---held in a `<close>` variable. When the deadline comes, the wait that the task is in is cancelled, and what that
---awaits. What has completed by then is kept: a body that does not wait any more returns its results, late or not.
---
---Waits for: what `fn` waits for. A delay of 0 or less interrupts its first wait.
---Cancelled: like `fn`; leaves no timer behind.
---Raises: TimeoutError; the error of `fn`; CancelledError if the task was cancelled from outside as well; RuntimeError
---outside a task. If `fn` swallows the interruption, nothing is raised. After `asyncio.timeout`.
---@overload fun(delay: number?): luawait.Timeout
---@param delay number? seconds from now; nil: no deadline
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... its results
function async.timeout(delay, fn, ...) end

---As `timeout`, with a deadline in seconds of the loop's clock. After `asyncio.timeout_at`.
---@overload fun(when: number?): luawait.Timeout
---@param when number? seconds of `async.time()`; nil: no deadline
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... its results
function async.timeout_at(when, fn, ...) end

---@class luawait.AsCompletedOptions
---@field timeout? number seconds for all of them, from the call on (default: no limit)

---For a `for` loop: the tasks and futures of a list of awaitables in the order in which they finish, those that are
---done already first, each once. What is no task or future becomes a task. `task:result()` has the results or raises
---the error.
---
---Waits for: in each step, the next one to finish.
---Cancelled: leaves the tasks as they are; what finished meanwhile comes at the next step. The same when the loop is
---left early.
---Raises: TimeoutError, from the step that finds the time over; the rest goes on. After `asyncio.as_completed`.
---@param list luawait.Awaitable[]
---@param opts? luawait.AsCompletedOptions
---@return fun(): (luawait.Task | luawait.Future)? iterator callable; several tasks may share it
function async.as_completed(list, opts) end

---Waits for an awaitable without passing a cancellation on to it. What is no task or future becomes a task of its own.
---
---Waits for: its end.
---Cancelled: raises CancelledError at once; what was awaited goes on. (The end of `run` cancels it all the same.)
---Raises: its error, the very same value. After `asyncio.shield`.
---@param awaitable luawait.Awaitable
---@return any ... its results
function async.shield(awaitable) end

---Structured concurrency: tasks that do not outlive a block. Leaving the block waits for all of them. The first one
---that fails (a cancelled one does not count) cancels the others and interrupts the body. After `asyncio.TaskGroup`.
---@class luawait.TaskGroup
local TaskGroup = {}

---A group of the current task, for a `<close>` variable.
---
---Waits for: nothing; leaving the block waits for the tasks of the group.
---Cancelled: while it is being left, the tasks are cancelled and waited for, then CancelledError is raised.
---Leaving raises ExceptionGroup if a task failed: `errors` has the errors in the order of failing, the body's own last.
---Raises RuntimeError outside a task.
---@return luawait.TaskGroup
function async.TaskGroup() end

---Runs `fn(group)` in this task, then waits for the tasks of the group; returns what `fn` returned.
---
---Waits for: what `fn` waits for, then for the tasks.
---Cancelled: cancels the tasks, waits for them and raises CancelledError.
---Raises: ExceptionGroup if a task failed or `fn` raised; RuntimeError outside a task.
---@generic T
---@param fn fun(group: luawait.TaskGroup): T ...
---@return T ...
function async.task_group(fn) end

---Makes a task in the group. Raises RuntimeError when the group has ended or is being cancelled; a Coroutine that is
---refused in this way is not reported as never awaited. After `asyncio.TaskGroup.create_task`.
---@param awaitable luawait.Awaitable
---@param opts? luawait.TaskOptions
---@return luawait.Task
function TaskGroup:create_task(awaitable, opts) end

---Cancels the tasks of the group and, in the `task_group(fn)` form, interrupts the body; the group then ends without
---an error (but for a cleanup that fails). In the `<close>` form the body goes on: Lua's `__close` cannot swallow an
---error. Twice or too late does nothing. Does not wait. After `asyncio.TaskGroup.cancel` of Python 3.15.
function TaskGroup:cancel() end

---`pcall` that does not catch a CancelledError: it passes, as, in a task, does a KeyboardInterrupt. The function may
---wait.
---@param fn function
---@param ... any its arguments
---@return boolean ok
---@return any ... its results, or the error
function async.pcall(fn, ...) end

---`xpcall` that does not catch a CancelledError: it passes, as, in a task, does a KeyboardInterrupt, unseen by the
---handler. The function may wait, the handler not.
---@param fn function
---@param handler fun(err: any): any
---@param ... any its arguments
---@return boolean ok
---@return any ... its results, or what the handler returned
function async.xpcall(fn, handler, ...) end

-- ---- synchronization ----

---A flag to wait for. After `asyncio.Event`.
---@class luawait.Event
local Event = {}

---A new event, not set.
---@return luawait.Event
function async.Event() end

---Waits until the event is set; returns at once if it is.
---
---Waits for: `set`. Those who waited when it was set go on even if it is cleared before they run.
---Cancelled: no longer among the waiters; the others are woken as before. After `asyncio.Event.wait`.
---@return true
function Event:wait() end

---Sets it and wakes all who wait, in the order in which they came. Does not wait. After `asyncio.Event.set`.
function Event:set() end

---Clears it: waits block again. After `asyncio.Event.clear`.
function Event:clear() end

---Whether it is set. After `asyncio.Event.is_set`.
---@return boolean
function Event:is_set() end

---Its state, and how many tasks wait for it.
---@return { is_set: boolean, waiters: integer }
function Event:statistics() end

---Permits, given in the order in which they were asked for: a released permit goes to the task that has waited
---longest, and no newcomer overtakes it. `local held <close> = semaphore:acquire()` is Python's `async with`. After
---`asyncio.Semaphore`.
---@class luawait.Semaphore
local Semaphore = {}

---A semaphore with so many permits.
---@param n? integer permits, 0 or more (default 1)
---@return luawait.Semaphore
function async.Semaphore(n) end

---The same, but a release that would make it more than `n` permits raises ValueError. After `asyncio.BoundedSemaphore`.
---@param n? integer permits, 0 or more (default 1)
---@return luawait.Semaphore
function async.BoundedSemaphore(n) end

---Takes a permit and returns the semaphore, whose `__close` gives it back.
---
---Waits for: a permit; not at all when one is free.
---Cancelled: has taken none; one that was on its way to it goes to the next. After `asyncio.Semaphore.acquire`.
---@return luawait.Semaphore
function Semaphore:acquire() end

---Gives a permit back, to the task that has waited longest. Any task or callback may do so. Does not wait.
---Raises ValueError for one too many, if it is bounded. After `asyncio.Semaphore.release`.
function Semaphore:release() end

---Takes a permit, calls `fn(...)`, gives the permit back on every way out, and returns what `fn` returned.
---
---Waits for: a permit, then what `fn` waits for.
---Cancelled: the permit is given back.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... its results
function Semaphore:with(fn, ...) end

---Whether `acquire` would have to wait. After `asyncio.Semaphore.locked`.
---@return boolean
function Semaphore:locked() end

---The number of free permits.
---@return integer
function Semaphore:value() end

---Its free permits, and how many tasks wait for one.
---@return { value: integer, waiters: integer, bound: integer? } `bound` only if it is bounded
function Semaphore:statistics() end

---Mutual exclusion of tasks. A released lock goes straight to the task that has waited longest. Not reentrant.
---`local held <close> = lock:acquire()` is Python's `async with`. After `asyncio.Lock`.
---@class luawait.Lock
local Lock = {}

---A new lock, not locked.
---@return luawait.Lock
function async.Lock() end

---Locks it and returns it; its `__close` releases it.
---
---Waits for: its turn; not at all when it is free.
---Cancelled: does not hold it; if it was on its way to this task it goes to the next. After `asyncio.Lock.acquire`.
---@return luawait.Lock
function Lock:acquire() end

---Releases it, or hands it to the task that has waited longest. Does not wait, and may be called by any task.
---Raises RuntimeError if it is not locked. After `asyncio.Lock.release`.
function Lock:release() end

---Locks it, calls `fn(...)`, releases it on every way out, and returns what `fn` returned.
---
---Waits for: its turn, then what `fn` waits for.
---Cancelled: it is released.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... its results
function Lock:with(fn, ...) end

---After `asyncio.Lock.locked`.
---@return boolean
function Lock:locked() end

---Who holds it, and how many tasks wait for it.
---@return { locked: boolean, waiters: integer, holder: luawait.Task? }
function Lock:statistics() end

---A lock, and tasks that wait to be notified of something that it protects. After `asyncio.Condition`.
---@class luawait.Condition
local Condition = {}

---With the lock given, which others may share, or one of its own. Raises an argument error for anything but a Lock.
---@param lock? luawait.Lock
---@return luawait.Condition
function async.Condition(lock) end

---Locks its lock and returns that, whose `__close` releases it. Waits as `lock:acquire()`.
---@return luawait.Lock
function Condition:acquire() end

---Releases its lock. As `lock:release()`.
function Condition:release() end

---Locks its lock, calls `fn(...)`, releases it on every way out, and returns what `fn` returned. Waits as
---`lock:with()`.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... its results
function Condition:with(fn, ...) end

---Whether its lock is.
---@return boolean
function Condition:locked() end

---Releases the lock, waits to be notified, takes the lock again. Raises RuntimeError if the lock is not acquired.
---
---Waits for: a notification, then its turn for the lock.
---Cancelled: takes the lock all the same before it raises; a notification that had come goes to the next. After
---`asyncio.Condition.wait`.
---@return true
function Condition:wait() end

---Waits until `predicate()` is true, and returns what it returned. It is called with the lock held, at once and after
---each notification. Raises what it raises, and RuntimeError if the lock is not acquired when it has to wait.
---
---Waits for: notifications, and what `predicate` waits for.
---Cancelled: as `wait`. After `asyncio.Condition.wait_for`.
---@generic T
---@param predicate fun(): T
---@return T
function Condition:wait_for(predicate) end

---Wakes the `n` tasks that have waited longest. Does not wait; they run when the lock is theirs.
---Raises RuntimeError if the lock is not acquired. After `asyncio.Condition.notify`.
---@param n? integer 0 or more (default 1)
function Condition:notify(n) end

---Wakes all who wait. Raises RuntimeError if the lock is not acquired. After `asyncio.Condition.notify_all`.
function Condition:notify_all() end

---How many tasks wait to be notified, and the same of its lock.
---@return { waiters: integer, lock: { locked: boolean, waiters: integer, holder: luawait.Task? } }
function Condition:statistics() end

---A meeting point: a number of tasks wait until all of them are there. After `asyncio.Barrier`.
---@class luawait.Barrier
local Barrier = {}

---A barrier for so many tasks.
---@param parties integer how many tasks, 1 or more
---@return luawait.Barrier
function async.Barrier(parties) end

---Waits until as many tasks wait as there are parties; then all go on, and the barrier can be used again. Returns the
---caller's number in the order in which they came, from 1 to `parties`: each once, so one of them can be picked. Raises
---BrokenBarrierError if the barrier is broken, or is aborted or reset meanwhile.
---
---Waits for: the others.
---Cancelled: it is as if it had not come; the others go on waiting. After `asyncio.Barrier.wait`.
---@return integer index
function Barrier:wait() end

---Makes it as new; those who wait get BrokenBarrierError. Does not wait. After `asyncio.Barrier.reset`.
function Barrier:reset() end

---Breaks it: those who wait, and who come until it is reset, get BrokenBarrierError. After `asyncio.Barrier.abort`.
function Barrier:abort() end

---How many tasks it waits for. After `asyncio.Barrier.parties`.
---@return integer
function Barrier:parties() end

---How many wait.
---@return integer
function Barrier:n_waiting() end

---Whether it is broken. After `asyncio.Barrier.broken`.
---@return boolean
function Barrier:broken() end

---Its state, and how many tasks wait.
---@return { parties: integer, waiters: integer, broken: boolean }
function Barrier:statistics() end

---Items that some tasks put and others get, in the order of the queue's kind. An item that is put while tasks wait to
---get one is promised to the first of them: it keeps its slot, but no longer counts in `qsize`. After `asyncio.Queue`.
---@class luawait.Queue
local Queue = {}

---First in, first out.
---@param maxsize? integer how many items it holds; 0 (the default) or less: any number
---@return luawait.Queue
function async.Queue(maxsize) end

---Last in, first out. After `asyncio.LifoQueue`.
---@param maxsize? integer as for `Queue`
---@return luawait.Queue
function async.LifoQueue(maxsize) end

---The least first; of equal ones the one that was put first. What a comparison raises reaches the caller of `put` or
---`get`, and leaves the queue as it was. `less` may not wait, and may not change the queue (RuntimeError). After
---`asyncio.PriorityQueue`.
---@param maxsize? integer as for `Queue`
---@param less? fun(a: any, b: any): boolean whether `a` comes out before `b` (default: `a < b`)
---@return luawait.Queue
function async.PriorityQueue(maxsize, less) end

---Adds an item, any value but nil. Raises QueueShutDown if the queue is shut down, also while it waits.
---
---Waits for: a free slot; not at all if there is one.
---Cancelled: has added nothing; a slot that was on its way to it goes to the next. After `asyncio.Queue.put`.
---@param item any
function Queue:put(item) end

---The same without waiting: raises QueueFull instead. After `asyncio.Queue.put_nowait`.
---@param item any
function Queue:put_nowait(item) end

---Takes an item out and returns it. Raises QueueShutDown once the queue is shut down and has no more.
---
---Waits for: an item; not at all if there is one.
---Cancelled: has taken nothing; an item that was on its way to it goes to the next. After `asyncio.Queue.get`.
---@return any item
function Queue:get() end

---The same without waiting: raises QueueEmpty instead. After `asyncio.Queue.get_nowait`.
---@return any item
function Queue:get_nowait() end

---For a loop over the items as they come, until the queue is shut down and has no more: `for item in queue:iter() do`.
---Several loops can share a queue. Waits in each step, as `get`.
---@return fun(queue: luawait.Queue): any next
---@return luawait.Queue queue
function Queue:iter() end

---One of the items that were got is dealt with. Raises ValueError if that is more than were put. After
---`asyncio.Queue.task_done`.
function Queue:task_done() end

---Waits for: `task_done` for every item that was put; not at all if there is none left.
---Cancelled: nothing changes. After `asyncio.Queue.join`.
function Queue:join() end

---Nothing can be put any more, and those who wait to are woken with QueueShutDown; `get` goes on until the items are
---gone. With `immediate` the items are thrown away at once, and count as done. Does not wait. After
---`asyncio.Queue.shutdown`.
---@param immediate? boolean
function Queue:shutdown(immediate) end

---The number of items, without those promised to tasks that are about to run.
---@return integer
function Queue:qsize() end

---Whether `get_nowait` would raise QueueEmpty.
---@return boolean
function Queue:empty() end

---Whether `put_nowait` would raise QueueFull.
---@return boolean
function Queue:full() end

---How many items it holds at most; 0 or less: any number. After `asyncio.Queue.maxsize`.
---@return integer
function Queue:maxsize() end

---@class luawait.QueueStatistics
---@field size integer items, as `qsize` counts them
---@field maxsize integer
---@field unfinished integer items that `join` waits for
---@field getters integer tasks that wait to get
---@field putters integer tasks that wait to put
---@field waiters integer both
---@field joiners integer tasks in `join`
---@field shut_down boolean

---What it holds, and how many tasks wait.
---@return luawait.QueueStatistics
function Queue:statistics() end

-- ---- errors ----

---A class of errors. Calling it makes an instance, to be raised with `error`.
---@class luawait.ErrorClass
---@field name string
---@overload fun(message: string?, fields: table?): luawait.BaseError

---The error classes, and what goes with them. Every class is also a field of the module.
---@class luawait.errors
---@field BaseError luawait.ErrorClass
---@field CancelledError luawait.ErrorClass
---@field KeyboardInterrupt luawait.ErrorClass
---@field Error luawait.ErrorClass
---@field TimeoutError luawait.ErrorClass
---@field RuntimeError luawait.ErrorClass
---@field ValueError luawait.ErrorClass
---@field InvalidStateError luawait.ErrorClass
---@field DeadlockError luawait.ErrorClass
---@field QueueEmpty luawait.ErrorClass
---@field QueueFull luawait.ErrorClass
---@field QueueShutDown luawait.ErrorClass
---@field BrokenBarrierError luawait.ErrorClass
---@field ExceptionGroup luawait.ErrorClass
---@field OSError luawait.ErrorClass
---@field IncompleteReadError luawait.ErrorClass
---@field LimitOverrunError luawait.ErrorClass
---@field ProcessError luawait.ErrorClass
local errors = {}
async.errors = errors

---Makes an error class. Its instances have `name`, `message` ("" when none was given) and the fields that they were
---made with; `tostring` gives `NAME: message`, or `NAME` without a message.
---@param name string
---@param parent? luawait.ErrorClass `errors.Error` by default
---@return luawait.ErrorClass
function errors.class(name, parent) end

---Whether a value, of any type, is an instance of the class or of one of its children.
---@param value any
---@param class luawait.ErrorClass
---@return boolean
function errors.is(value, class) end

---The root of all error classes.
---@class luawait.BaseError
---@field name string of its class
---@field message string

---A cancellation on its way out of a task. After `asyncio.CancelledError`.
---@class luawait.CancelledError: luawait.BaseError
---@field cancelled_at? string in debug mode: the traceback of where the cancellation came from

---SIGINT came while a loop was running.
---@class luawait.KeyboardInterrupt: luawait.BaseError

---The parent of all errors that a program may want to handle.
---@class luawait.Error: luawait.BaseError

---A deadline has passed. After Python's `TimeoutError`.
---@class luawait.TimeoutError: luawait.Error
---@field stdout? string of process.run: what the program had written
---@field stderr? string

---Something was called where or when it cannot be. After Python's `RuntimeError`.
---@class luawait.RuntimeError: luawait.Error

---An argument of the right type has a value that cannot be used. After Python's `ValueError`.
---@class luawait.ValueError: luawait.Error

---A result was asked for too early, or set too late. After `asyncio.InvalidStateError`.
---@class luawait.InvalidStateError: luawait.Error

---Tasks wait, and nothing can wake them; `message` lists them.
---@class luawait.DeadlockError: luawait.Error

---A queue is empty. After `asyncio.QueueEmpty`.
---@class luawait.QueueEmpty: luawait.Error

---A queue is full. After `asyncio.QueueFull`.
---@class luawait.QueueFull: luawait.Error

---A queue was shut down. After `asyncio.QueueShutDown`.
---@class luawait.QueueShutDown: luawait.Error

---A barrier is broken. After `asyncio.BrokenBarrierError`.
---@class luawait.BrokenBarrierError: luawait.Error

---Several errors of a task group. After Python's `ExceptionGroup`.
---@class luawait.ExceptionGroup: luawait.Error
---@field errors any[] in the order of failing; the body's own last

---The operating system refused. After Python's `OSError`.
---@class luawait.OSError: luawait.Error
---@field code string as in "ECONNREFUSED"
---@field errno integer
---@field syscall string what was being done
---@field address? string where it concerns an address
---@field path? string where it concerns a file

---A stream ended before what was asked for had come. After `asyncio.IncompleteReadError`.
---@class luawait.IncompleteReadError: luawait.Error
---@field partial string what had come
---@field expected? integer how many bytes were asked for

---More data than the limit allows came before the separator. After `asyncio.LimitOverrunError`.
---@class luawait.LimitOverrunError: luawait.Error

---A child process failed. After Python's `subprocess.CalledProcessError`.
---@class luawait.ProcessError: luawait.Error
---@field status? integer
---@field signal? string its name
---@field stdout? string
---@field stderr? string

return async
