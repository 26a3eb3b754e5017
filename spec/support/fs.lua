--- What the specs of files share.
local helpers = require "spec.support.helpers"
local net_support = require "spec.support.net"

local support = { descriptors = net_support.descriptors, wait_until = net_support.wait_until }

--- The output of a shell command; an error if it fails.
function support.shell(command, ...)
  local pipe <close> = assert(io.popen(command:format(...)))
  local output = pipe:read("a")
  assert(pipe:close(), command)
  return output
end

--- A new directory (in memory, where the system has such a place: some specs make very many files), which is removed
--- at the end of the block: `local dir <close> = support.directory()`; tostring(dir) and dir .. "/name" are paths.
function support.directory()
  local path = support.shell("mktemp -d -p /dev/shm 2>/dev/null || mktemp -d"):match("[^\n]+")
  return setmetatable({}, {
    __close = function() os.execute(("chmod -R u+rwx '%s' 2>/dev/null; rm -rf '%s'"):format(path, path)) end,
    __concat = function(left, right) return tostring(left) .. tostring(right) end,
    __tostring = function() return path end,
  })
end

--- Runs fn(dir) with a directory of its own. Nothing may be reported, and the descriptors that it opens must be closed
--- when it is through.
function support.run(fn, opts)
  local dir <close> = support.directory()
  helpers.collect_garbage()
  local before = support.descriptors()
  local results = table.pack(helpers.run(function() return fn(dir) end, opts))
  helpers.collect_garbage()
  assert(support.descriptors() == before, "descriptors were left open")
  return table.unpack(results, 1, results.n)
end

--- The error of fn(...), which must be an OSError with this code; its path too, where given.
function support.os_error(code, path, fn, ...)
  local err = helpers.failure(fn, ...)
  assert(helpers.kind(err) == "OSError" and err.code == code, ("%s expected, got %s"):format(code, tostring(err)))
  assert(not path or err.path == path, ("path %s expected, got %s"):format(path, tostring(err.path)))
  assert(err.errno > 0 and err.syscall)
  return err
end

return support
