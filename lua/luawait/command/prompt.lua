--- The prompt of the `luawait` command: reads statements and runs them, each as a main task, on a loop whose other
-- tasks go on meanwhile.
local async = require "luawait"
local core = require "luawait.core"
local guarded = require "luawait.command.guarded"
local editors = require "luawait.command.editors"

local PROMPT, PROMPT2 = "> ", ">> "

local function prompt(name, default)
  local value = rawget(_G, name)
  return value == nil and default or tostring(value)
end

local function is_incomplete(message)
  return message:find("<eof>$") ~= nil
end

-- The statement as a function: an expression returns its values, `=` in front of it is allowed. Or nil and the error.
local function compile(text)
  local expression = load("return " .. text:gsub("^%s*=", ""), "=stdin", "t")
  if expression then return expression end
  return load(text, "=stdin", "t")
end

-- Reads lines until they are a statement, or cannot become one. Waits. Returns the function, or false and a message,
-- or nil at the end of the input.
local function read_statement(editor)
  local text = editor:read_line(prompt("_PROMPT", PROMPT))
  if not text then return nil end
  while true do
    local chunk, message = compile(text)
    if chunk or not is_incomplete(message) then return chunk or false, message end
    local more = editor:read_line(prompt("_PROMPT2", PROMPT2))
    if not more then return false, message end
    text = text .. "\n" .. more
  end
end

local function show(...)
  if select("#", ...) > 0 then guarded.call(print, ...) end
end

local function complain(err)
  io.stderr:write(guarded.describe(err), "\n")
end

-- Runs a function as the main task; returns what it returned, or false after a complaint. A task that nothing can
-- wake is not kept.
local function evaluate(runner, chunk)
  local task
  local ok, err = core.try(runner.run, runner, function()
    task = async.current_task()
    show(guarded.call(chunk))
  end)
  if ok then return end
  if task and not task:done() then task:cancel() end
  complain(err)
end

-- Returns a statement as read_statement does, and false without a message if the line was interrupted.
local function next_statement(runner, editor)
  local ok, chunk, message = core.try(runner.run, runner, function() return read_statement(editor) end)
  if ok then return chunk, message end
  if not async.errors.is(chunk, async.KeyboardInterrupt) then error(chunk, 0) end
  print()
  return false
end

--- Reads and runs until the end of the input.
return function(runner)
  local editor <close> = editors.open()
  editor:greet()
  while true do
    local chunk, message = next_statement(runner, editor)
    if chunk == nil then break end
    if chunk then
      evaluate(runner, chunk)
    elseif message then
      complain(message)
    end
  end
  editor:leave()
end
