--- luawait.fs: files and directories, on libuv's thread pool. The public face; what reads better in C stands in io/fs.c
-- (one call of the system each), io/fs_content.c (whole files), io/fs_tree.c, io/file.c and io/fs_watch.c.
local core = require "luawait.core"
local check = require "luawait.check"
local glob = require "luawait.fs.glob"
local walk = require "luawait.fs.walk"

local fs = {}

for _, name in ipairs {
  "read_file", "write_file", "open", "stat", "lstat", "exists", "mkdir", "rmdir", "remove", "rename", "copy", "link",
  "symlink", "readlink", "realpath", "chmod", "chown", "utime", "access", "scandir", "rmtree", "watch",
} do
  fs[name] = core.fs[name]
end

--- fs.listdir(path): array of the names in a directory, in the system's order. Waits. Raises OSError.
function fs.listdir(path)
  check.path(path, 1, "listdir")
  local names = {}
  for name in core.fs.scandir(path) do names[#names + 1] = name end
  return names
end

fs.walk, fs.glob = walk, glob

local function template(prefix)
  return (prefix or core.fs.tmpdir() .. "/lua-") .. "XXXXXX"
end

--- fs.mkdtemp(prefix?): makes a directory whose name is the prefix (default: "lua-" in the system's directory for
-- temporary files) and six characters that make it a new one, for this user alone. Returns its path. Waits. Raises
-- OSError. A cancelled one may have made it.
function fs.mkdtemp(prefix)
  if prefix ~= nil then check.path(prefix, 1, "mkdtemp") end
  return core.fs.mkdtemp(template(prefix))
end

--- fs.mkstemp(prefix?): the same for a file, which is open to be read and written. Returns the File, and its path.
function fs.mkstemp(prefix)
  if prefix ~= nil then check.path(prefix, 1, "mkstemp") end
  return core.fs.mkstemp(template(prefix))
end

--- file:lines(...): iterates over what file:read(...) returns, until that is nil.
function core.fs.file:lines(...)
  local formats = table.pack(...)
  return function() return self:read(table.unpack(formats, 1, formats.n)) end
end

return fs
