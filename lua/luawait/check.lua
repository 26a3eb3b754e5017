--- Argument errors for functions written in Lua, worded and positioned as those of C functions.
local core = require "luawait.core"

local check = {}

--- Raises "bad argument #N to 'NAME' (COMPLAINT)" at the caller of the function that checks; `level` as for error,
-- seen from the caller of this (default: for a check in this file that the function calls).
function check.fail(position, name, complaint, level)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, complaint), (level or 3) + 1)
end

--- A number of seconds, or nil.
function check.seconds(value, position, name)
  if value == nil or (type(value) == "number" and value == value) then return end
  local got = type(value) == "number" and "NaN" or type(value)
  check.fail(position, name, ("number expected, got %s"):format(got))
end

function check.callable(value, position, name)
  if core.is_callable(value) then return end
  check.fail(position, name, ("function expected, got %s"):format(type(value)))
end

function check.awaitable(value, position, name)
  local complaint = core.not_awaitable(value)
  if complaint then check.fail(position, name, complaint) end
end

--- What to say of a key of the options that the function does not know.
function check.unknown_option(key)
  return (type(key) == "string" and "unknown option '%s'" or "unknown option [%s]"):format(tostring(key))
end

--- What is wrong with a value, other than nil, of an option of this type; or nil.
local function value_complaint(value, expected)
  local wanted = expected == "count" and "number" or expected
  if type(value) ~= wanted then return ("%s expected, got %s"):format(wanted, type(value)) end
  if value ~= value then return "number expected, got NaN" end
  if expected == "count" and not (math.tointeger(value) and value >= 1) then
    return ("positive integer expected, got %s"):format(value)
  end
end

--- What is wrong with the options, or nil. `types` has an entry for each that is known: its type, "count" for a
-- positive integer, or "any" for one that the function looks at itself.
function check.option_complaint(opts, types)
  if opts == nil then return nil end
  if type(opts) ~= "table" then return ("table expected, got %s"):format(type(opts)) end
  for key in next, opts do
    if not types[key] then return check.unknown_option(key) end
  end
  for key, expected in pairs(types) do
    local value = opts[key]
    local complaint = value ~= nil and expected ~= "any" and value_complaint(value, expected)
    if complaint then return ("option '%s': %s"):format(key, complaint) end
  end
end

local NONE = {}

--- The options, checked; a table, which is not to be changed, also where there are none.
function check.options(opts, position, name, types)
  local complaint = check.option_complaint(opts, types)
  if complaint then check.fail(position, name, complaint) end
  return opts or NONE
end

function check.path(value, position, name)
  if type(value) ~= "string" then check.fail(position, name, ("string expected, got %s"):format(type(value))) end
  if value:find("\0", 1, true) then check.fail(position, name, "string without zeros expected") end
end

--- For functions that do something before they wait: refuses what could not wait.
function check.task(name)
  if core.current_task() then return end
  error(core.errors.RuntimeError(name .. " outside a task: run it with async.run or async.create_task"))
end

--- The object of a method whose class is the metatable `class`.
function check.self(value, class, name)
  if getmetatable(value) == class then return end
  check.fail(1, name, ("%s expected, got %s"):format(class.__name, type(value)))
end

return check
