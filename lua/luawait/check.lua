--- Argument errors for functions written in Lua, worded and positioned as those of C functions.
local core = require "luawait.core"

local check = {}

--- Raises "bad argument #N to 'NAME' (COMPLAINT)" at the caller of the function that checks; `level` as for error,
-- seen from the caller of this (default: for a check in this file that the function calls).
function check.fail(position, name, complaint, level)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, complaint), (level or 3) + 1)
end

--- A number of seconds, or nil; `what` names it where it is no argument of its own.
function check.seconds(value, position, name, what)
  if value == nil or (type(value) == "number" and value == value) then return end
  local got = type(value) == "number" and "NaN" or type(value)
  check.fail(position, name, ("%snumber expected, got %s"):format(what or "", got))
end

function check.callable(value, position, name)
  local meta = getmetatable(value)
  if type(value) == "function" or (type(meta) == "table" and meta.__call) then return end
  check.fail(position, name, ("function expected, got %s"):format(type(value)))
end

function check.awaitable(value, position, name)
  local complaint = core.not_awaitable(value)
  if complaint then check.fail(position, name, complaint) end
end

function check.options(value, position, name)
  if value == nil or type(value) == "table" then return end
  check.fail(position, name, ("table expected, got %s"):format(type(value)))
end

--- The options: nil, or a table whose entries have the types that `types` says.
function check.option_types(opts, position, name, types)
  check.options(opts, position, name)
  for key, expected in pairs(opts and types or {}) do
    local got = type(opts[key])
    if got ~= "nil" and got ~= expected then
      check.fail(position, name, ("option '%s': %s expected, got %s"):format(key, expected, got))
    end
  end
end

function check.path(value, position, name)
  if type(value) ~= "string" then check.fail(position, name, ("string expected, got %s"):format(type(value))) end
  if value:find("\0", 1, true) then check.fail(position, name, "string without zeros expected") end
end

--- The object of a method whose class is the metatable `class`.
function check.self(value, class, name)
  if getmetatable(value) == class then return end
  check.fail(1, name, ("%s expected, got %s"):format(class.__name, type(value)))
end

return check
