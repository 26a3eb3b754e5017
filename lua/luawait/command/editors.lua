--- Where the prompt's lines come from. An editor has read_line(prompt), which waits for a line and returns it, or nil
-- at the end; greet() and leave(), for what is said to a person only; and __close.
local core = require "luawait.core"
local async = require "luawait"
local complete = require "luawait.command.complete"

local STDIN, STDOUT = 0, 1

local editors = {}

-- ---- lines as they come ----

local Plain = {}
Plain.__index = Plain

function Plain:read_line(prompt)
  io.write(prompt)
  io.flush()
  while true do
    local line, rest = self.buffer:match("^([^\n]*)\n(.*)$")
    if line then
      self.buffer = rest
      return line
    end
    core.input.ready(STDIN)
    local text = core.input.read(STDIN)
    if not text then break end
    self.buffer = self.buffer .. text
  end
  local last = self.buffer
  self.buffer = ""
  return last ~= "" and last or nil
end

function Plain:greet()
  if self.terminal then
    print(("luawait %s, %s; tasks go on while you type, Ctrl-D leaves"):format(async._VERSION, _VERSION))
  end
end

function Plain:leave()
  if self.terminal then print() end
end

function Plain.__close() end

-- ---- libedit ----

local Edited = setmetatable({}, {__index = Plain})
Edited.__index = Edited

local Terminal = {__close = function(self) self.library:stop() end}

function Edited:read_line(prompt)
  local library <const> = self.library
  io.flush()
  library:start(prompt)
  local _ <close> = setmetatable({library = library}, Terminal)
  local finished, line
  repeat
    core.input.ready(STDIN)
    finished, line = library:feed()
  until finished
  if line and line:find("%S") then
    library:remember(line)
    if self.history then library:save_history(self.history) end -- at once: os.exit asks nobody
  end
  return line
end

function Edited:__close()
  self.library:close()
end

-- The file that keeps the lines; nil if there shall be none.
local function history_path()
  local path = os.getenv("LUAWAIT_HISTORY")
  if path then return path ~= "" and path or nil end
  local home = os.getenv("HOME")
  return home and home .. "/.luawait_history"
end

-- libedit's editor; nil if it cannot be had.
local function open_edited()
  local found, libedit = pcall(require, "luawait.libedit")
  if not found then return nil end
  os.setlocale("", "ctype") -- it reads characters, not bytes
  local library = libedit.open(complete)
  if not library then return nil end
  local self = setmetatable({library = library, terminal = true, history = history_path()}, Edited)
  if self.history then library:load_history(self.history) end
  return self
end

--- The editor for this process: libedit's where that was built and both ends are a terminal that can do it.
function editors.open()
  local terminal = core.input.is_terminal(STDIN) and core.input.is_terminal(STDOUT)
  local edited = terminal and os.getenv("TERM") ~= "dumb" and open_edited()
  return edited or setmetatable({buffer = "", terminal = terminal}, Plain)
end

return editors
