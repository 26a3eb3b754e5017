---@meta luawait.process

-- What `require "luawait.process"` gives. What waits, what a wrong argument raises and what a cancellation does is said
-- at the top of types/luawait.lua; a failed operation raises OSError (`code`, `errno`, `syscall`, `path`).

---@class luawait.process
local process = {}

---@class luawait.process.Options
---@field cwd? string the directory in which it starts (default: this program's)
---@field env? table<string, string | false> variables that it gets besides or instead of this program's; false: not
--- this one
---@field stdin? "pipe" | "null" | "inherit" | luawait.fs.File "pipe" (the default of spawn): a Stream of the process;
--- "null" (that of run): empty; "inherit": this program's own
---@field stdout? "pipe" | "null" | "inherit" | luawait.fs.File (default "pipe")
---@field stderr? "pipe" | "null" | "inherit" | "stdout" | luawait.fs.File "stdout": to where stdout goes (default
--- "pipe")
---@field group? boolean it leads a session and process group of its own, which signals sent to it reach as a whole

---@class luawait.process.SpawnOptions: luawait.process.Options
---@field detached? boolean it has a session of its own, and may outlive its scope and the run

---@class luawait.process.RunOptions: luawait.process.Options
---@field input? string what it is fed; it may leave a part, or all of it
---@field check? boolean raise ProcessError unless it ends with status 0
---@field timeout? number seconds; then it is killed, and TimeoutError raised

---@class luawait.process.Result
---@field status? integer the exit status; nil if a signal ended it
---@field signal? string the name of that signal
---@field stdout? string all that it wrote; nil if stdout was no pipe
---@field stderr? string all that it wrote; nil if stderr was no pipe

---Runs a program until it has ended and both its pipes have, fed and read at the same time. Waits. `argv[1]` is
---looked up on the PATH (of `env`, if that has one); no shell is involved. Raises OSError as spawn does; ProcessError
---(`status`, `signal`, `stdout`, `stderr`) with `check`, whose message shows the end of stderr; TimeoutError (`stdout`,
---`stderr`: what it had written until then) with `timeout`.
---Cancelled, timed out or failed, it has killed the program (with `group` all of its group) by SIGKILL and reaped it.
---@param argv string[] the program and its arguments; without zeros
---@param opts? luawait.process.RunOptions
---@return luawait.process.Result
function process.run(argv, opts) end

---As run, for a line that /bin/sh interprets.
---@param line string
---@param opts? luawait.process.RunOptions
---@return luawait.process.Result
function process.shell(line, opts) end

---Starts a program. Does not wait. Held in a `<close>` variable it is killed and reaped when the scope is left, if it
---has not ended before; one that is dropped goes on and is reaped when it ends, but its pipes are closed as they are
---collected; one that has not ended when the run ends is killed and reaped then. Raises OSError: `path` is the program
---or the directory that could not be had, `syscall` is "spawn" or "chdir".
---@param argv string[] as for run
---@param opts? luawait.process.SpawnOptions
---@return luawait.process.Process
function process.spawn(argv, opts) end

---@class luawait.process.Process
---@field pid integer
---@field argv string[]
---@field stdin? luawait.net.Stream to the program; nil unless it is a pipe
---@field stdout? luawait.net.Stream from it; nil unless it is a pipe
---@field stderr? luawait.net.Stream from it; nil unless it is a pipe
local Process = {}

---Waits for its end. Any number of tasks may wait, also when it has ended. A program whose pipes nobody reads may
---never end: read them, or have them be "null". A cancelled one leaves nothing behind; the program goes on.
---@return integer? status nil if a signal ended it
---@return string? signal the name of that signal
function Process:wait() end

---Sends a signal, with `group` to all of its group. Raises OSError; RuntimeError after a run that the program, being
---detached, has outlived: `pid` is what is left of it then.
---@param sig? string name of a signal (default "SIGKILL")
---@return boolean sent false when the program has ended, and nobody is left of its group
function Process:kill(sig) end

---As kill("SIGTERM").
---@return boolean sent
function Process:terminate() end

return process
