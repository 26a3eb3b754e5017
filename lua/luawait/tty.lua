--- luawait.tty: this program's stdin, stdout and stderr as streams, and the terminal. On io/tty.c.
local core = require "luawait.core"
local check = require "luawait.check"

local tty = {}

local streams = {}

--- One stream in a run for each: a second one would take bytes away from the first.
local function standard(fd)
  if not streams[fd] or streams[fd]:is_closing() then streams[fd] = core.tty.open(fd) end
  return streams[fd]
end

--- tty.stdin(), tty.stdout(), tty.stderr(): a Stream, whether it is a terminal, a pipe, a socket, a file or /dev/null;
-- the same one each time, until it is closed. What io.read has read ahead is not in it, nor is what print has not
-- flushed. Raises OSError (`path` is "stdin"), also where the program was started without it.
function tty.stdin() return standard(0) end

function tty.stdout() return standard(1) end

function tty.stderr() return standard(2) end

--- tty.winsize(): columns and rows of the terminal that stdout, stdin or stderr is. Raises OSError where none is one.
tty.winsize = core.tty.winsize

local modes = {normal = true, raw = true, cbreak = true}

--- tty.set_mode(mode): see io/tty.c.
function tty.set_mode(mode)
  if not modes[mode] then
    local got = type(mode) == "string" and ("'%s'"):format(mode) or type(mode)
    check.fail(1, "set_mode", ("'normal', 'raw' or 'cbreak' expected, got %s"):format(got), 2)
  end
  core.tty.set_mode(mode)
end

return tty
