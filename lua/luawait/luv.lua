--- What `require "luawait.luv"` gives: the functions of lua-luv, on luawait's loop. Their callbacks run between the
-- steps of tasks, outside any task: they cannot wait, and what they raise goes to the exception handler.
-- async.from_callback awaits them. Handles belong to the run in which they were made, and are closed at its end. It
-- raises RuntimeError where luv is not installed, was loaded before, or has another libuv, and on the loop of a host.
local core = require "luawait.core"

local errors, loadlib = core.errors, package.loadlib

-- What luv may not do with a loop that others turn, and whose other handles it would take for its own.
local FORBIDDEN = {"run", "stop", "walk", "loop_close"}

local function fail(...)
  error(errors.RuntimeError(string.format(...)), 0)
end

-- A C function of luv's library.
local function symbol(path, name)
  local fn = loadlib(path, name)
  if not fn then fail("%s has no %s: it is no luv that can share a loop, or it has a libuv of its own", path, name) end
  return fn
end

local function load_luv()
  if package.loaded.luv then
    fail("luv was loaded before, and has a loop of its own: require luawait.luv before anything requires luv")
  end
  local path, tried = package.searchpath("luv", package.cpath)
  if not path then fail("luv is not installed:\n\t%s", tried) end
  core.attach_luv(symbol(path, "luv_set_loop"), symbol(path, "luv_set_callback"), symbol(path, "uv_version_string"))
  return require "luv"
end

local luv = {}
for name, value in pairs(load_luv()) do luv[name] = value end

for _, name in ipairs(FORBIDDEN) do
  luv[name] = function() error(errors.RuntimeError(("luv.%s: the loop is luawait's"):format(name)), 2) end
end

return luv
