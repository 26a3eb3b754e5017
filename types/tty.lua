---@meta luawait.tty

-- What `require "luawait.tty"` gives. What a wrong argument raises is said at the top of types/luawait.lua; a failed
-- operation raises OSError (`code`, `errno`, `syscall`, `path`).

---@class luawait.tty
local tty = {}

---This program's stdin, whether it is a terminal, a pipe, a socket, a file or /dev/null; an empty one where the program
---was started without. The same stream each time, until it is closed. What io.read has read ahead is not in it, and
---what the stream has read ahead is lost to io.read and to the next run. Raises OSError.
---@return luawait.net.Stream
function tty.stdin() end

---This program's stdout. What is written goes out at once as far as it is taken; for the rest, call `flush` before the
---run ends. A file takes everything at once. What print has not flushed may come later. Raises OSError.
---@return luawait.net.Stream
function tty.stdout() end

---This program's stderr, as stdout.
---@return luawait.net.Stream
function tty.stderr() end

---The size of the terminal that stdout, stdin or stderr is. That it has changed is told by the signal SIGWINCH: see
---luawait.signal. Raises OSError ("ENOTTY") where none of them is a terminal.
---@return integer columns
---@return integer rows
function tty.winsize() end

---How stdin, a terminal, gives what is typed. "raw": each key at once, Ctrl-C and its like too, and nothing is shown;
---"cbreak": the same, but Ctrl-C and its like are signals as ever; "normal": as it was before. At the end of the run,
---however it ends, it is as it was before. Raises OSError ("ENOTTY" where stdin is no terminal).
---@param mode "normal" | "raw" | "cbreak"
function tty.set_mode(mode) end

return tty
