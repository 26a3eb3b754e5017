--- Walking through a tree of directories.
local core = require "luawait.core"
local check = require "luawait.check"

local fs = core.fs

local function join(folder, name)
  return folder:sub(-1) == "/" and folder .. name or folder .. "/" .. name
end

--- What tells a directory from all others, if a link leads to one; else nil.
local function behind_link(path)
  local ok, stat = core.pcall(fs.stat, path)
  return ok and stat.type == "directory" and ("%d:%d"):format(stat.dev, stat.ino) or nil
end

local function entries(self, path)
  local dirs, files = {}, {}
  for name, type in fs.scandir(path) do
    local list = (type == "directory" or (type == "link" and self.follow and behind_link(join(path, name)))) and dirs
      or files
    list[#list + 1] = name
  end
  return dirs, files
end

--- One directory on the way: nil where it cannot be read and on_error took the error, or where it was seen before.
local function visit(self, path)
  if self.follow then
    local id = behind_link(path)
    if id and self.seen[id] then return nil end
    if id then self.seen[id] = true end
  end
  if not self.on_error then return { path = path, entries(self, path) } end
  local ok, dirs, files = core.pcall(entries, self, path)
  if ok then return { path = path, dirs, files } end
  self.on_error(dirs)
end

--- Puts the directories of `place` on the stack, so that the first of them is taken first.
local function push(self, place)
  local dirs = place[1]
  for i = #dirs, 1, -1 do self[#self + 1] = join(place.path, dirs[i]) end
end

--- A directory before what is in it; `dirs` may have been changed by the caller since.
local function next_down(self)
  if self.last then push(self, self.last) end
  self.last = nil
  while #self > 0 do
    local place = visit(self, table.remove(self))
    if place then
      self.last = place
      return place.path, place[1], place[2]
    end
  end
end

--- A directory after what is in it: one that was read stands on the stack below its own.
local function next_up(self)
  while #self > 0 do
    local top = table.remove(self)
    if type(top) == "table" then return top.path, top[1], top[2] end
    local place = visit(self, top)
    if place then
      self[#self + 1] = place
      push(self, place)
    end
  end
end

local options = { bottom_up = "boolean", follow = "boolean", on_error = "function" }

--- fs.walk(path, opts?): iterates over `path` and all the directories below it: for each its path, the array of the
-- names of its directories, and that of its other entries, as Python's os.walk. See types/fs.lua.
local function walk(path, opts)
  check.path(path, 1, "walk")
  opts = check.options(opts, 2, "walk", options)
  local self = { path, follow = opts.follow, on_error = opts.on_error, seen = {} }
  local step = opts.bottom_up and next_up or next_down
  return function() return step(self) end
end

return walk
