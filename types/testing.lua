---@meta luawait.testing

-- What `require "luawait.testing"` gives. What waits, what a wrong argument raises and what a cancellation does is said
-- at the top of types/luawait.lua.

---@class luawait.testing
---@field LeakError luawait.ErrorClass what is raised for a test that left something behind: `leaks` is an array of
--- descriptions
local testing = {}

---@class luawait.testing.Leaks
---@field tasks? boolean unfinished tasks, the main one apart
---@field handles? boolean open streams (but those of luawait.tty) and servers, and callbacks that are still to come
---@field descriptors? boolean descriptors of the process that were not open before
---@field futures? boolean futures made by the test that are not done, and that somebody can still reach

---@class luawait.testing.Faults
---@field allocation? integer the number of the request for memory (of Lua's, from the start of the test) that fails
---@field uv? integer the number of the call of libuv, for a socket or of malloc, or of the result that libuv reports,
--- that fails with an error usual for it; only in the build of the target `faults`

---@class luawait.testing.RunOptions : luawait.RunOptions
---@field clock? "virtual" | "real" virtual (the default): the clock begins at 0, stands still while tasks run, and
--- jumps to the next deadline when nothing else can happen; real: the system's
---@field autojump? boolean false: only `advance` moves the virtual clock, until `fn` has ended
---@field patience? number real seconds without I/O after which the clock jumps although I/O is pending (default: never)
---@field seed? integer shuffles tasks that are ready and deadlines that are equal, and seeds math.random; the same seed
--- gives the same run
---@field explore? integer (of `run` and `it`) so many runs, one for each seed from `seed` (1) on; the environment's
--- LUAWAIT_SEED names one seed to run instead
---@field timeout? number real seconds that the test may take; then TimeoutError tells what each task waits for
--- (default: none; 30 in `it`)
---@field leaks? boolean | luawait.testing.Leaks what to look for at the end (default: all); false: nothing
---@field fail? luawait.testing.Faults (not of `fail_at_every_call`) makes a call fail, once
---@field check? fun(ok: boolean, err: any, n: integer) (of `cancel_at_every_wait` and `fail_at_every_call`) called
--- after each run in which something was made to go wrong; `err` is the first result of one that ended well

---Runs `fn()` as the main task of a fresh loop, on a virtual clock. While I/O is pending (a request in flight, a
---listening socket, a stream that reads) the clock goes on with real time. When `fn` has ended, tasks that are on their
---way out may get there; what then is left makes the test fail. Raises the error of `fn`; RuntimeError (with `reports`)
---for what was reported to the exception handler, unless the test has set its own; LeakError. RuntimeError in a running
---loop. The seed of a test that fails is written to stderr.
---@generic T
---@param fn fun(): T...
---@param opts? luawait.testing.RunOptions those of async.run too
---@return T... # what `fn` returned; with `explore`, in the last run
function testing.run(fn, opts) end

---As busted's `it`, for a function that may wait: each test is run by `testing.run(fn, opts)`. `opts.timeout` is 30 by
---default. Without `fn` the test is pending.
---@param name string
---@param fn? fun()
---@param opts? luawait.testing.RunOptions
function testing.it(name, fn, opts) end

---Waits until every other task waits for something, and a look at I/O has brought nothing. The clock does not jump
---while somebody waits here. RuntimeError outside a test. After trio.testing.wait_all_tasks_blocked.
function testing.wait_all_blocked() end

---The virtual clock goes on by `seconds`, from deadline to deadline: what is due at each has run until it waits before
---the clock goes on. Waits for all that, and no real time. A cancelled one leaves the clock where it is. Where several
---tasks call it at the same time, the clock goes as far as the farthest of them says. RuntimeError outside a test, and
---in one on the system's clock.
---@param seconds number
function testing.advance(seconds) end

---@class luawait.testing.Sequencer
---@operator call(integer): luawait.testing.Turn

---@class luawait.testing.Turn

---An order for blocks in several tasks: `local turn <close> = sequence(n)` waits until the block of turn n - 1 has been
---left; turn 1 does not wait. RuntimeError for a turn that was taken before. A cancelled wait breaks the sequence:
---waits for other turns raise RuntimeError. After trio.testing.Sequencer.
---@return luawait.testing.Sequencer
function testing.sequencer() end

---Runs `fn()` as it is, where it may not fail, and then once for each wait that one of its tasks begins: that task is
---cancelled there. Such a run may end with any error; but it must end, and leave nothing behind. Which wait it was is
---written to stderr when that is not so, and DeadlockError, TimeoutError (`opts.timeout`) or LeakError is raised.
---@param fn fun()
---@param opts? luawait.testing.RunOptions
---@return integer waits how many there were
function testing.cancel_at_every_wait(fn, opts) end

---The same with a call that fails in the place of a cancellation: each request for memory ("allocation"), or each call
---of libuv and the like ("uv"; an argument error in a build that cannot do it).
---@param kind "allocation" | "uv"
---@param fn fun()
---@param opts? luawait.testing.RunOptions
---@return integer calls how many there were
function testing.fail_at_every_call(kind, fn, opts) end

return testing
