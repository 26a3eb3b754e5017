--- Calls of the user's code by the command: what they raise is said with the traceback of where it was raised, without
-- the frames of the command itself.
local async = require "luawait"
local core = require "luawait.core"

local xpcall, traceback = xpcall, debug.traceback -- Lua's own: a cancellation is to be seen here

local guarded = {}

local raised = {} -- the last error that passed through a call, and its traceback

local function count_lines(text)
  return select(2, text:gsub("\n", ""))
end

-- `text` without its last `count` lines.
local function without_last(text, count)
  for _ = 1, count do text = text:match("^(.*)\n") or text end
  return text
end

local function finish(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

--- Returns what fn(...) returns, which may wait. Raises its error, and remembers where that came from.
function guarded.call(fn, ...)
  local frames = count_lines(traceback("", 1)) -- of the command; the heading stands for the frame of xpcall
  return finish(xpcall(fn, function(err)
    raised.error, raised.traceback = err, without_last(traceback("", 2):sub(2), frames)
    return err
  end, ...))
end

-- Where the program was when it was interrupted: its first frame that is neither C nor the library's.
local function place(text)
  local library = debug.getinfo(1, "S").short_src:match("^(.*)command/guarded%.lua$")
  for line in text:gmatch("\n\t([^\n]+)") do
    if not line:find("^%[C%]") and line:sub(1, #library) ~= library then return line:match("^(.-:%d+): ") or line end
  end
end

--- The text for an error that a run raised: with its traceback; of a KeyboardInterrupt, where that came.
function guarded.describe(err)
  local text = core.text(err)
  if async.errors.is(err, async.KeyboardInterrupt) then
    local where = raised.traceback and place(raised.traceback)
    text = where and ("interrupted at " .. where) or "interrupted"
  elseif raised.traceback and rawequal(raised.error, err) then
    text = text .. "\n" .. raised.traceback
  end
  raised = {}
  return text
end

return guarded
