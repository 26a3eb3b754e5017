--- The paths that a pattern matches.
local core = require "luawait.core"
local check = require "luawait.check"
local pattern = require "luawait.fs.pattern"

local fs = core.fs

local absence = { ENOENT = true, ENOTDIR = true, EACCES = true, ELOOP = true, EPERM = true }

--- fn(...), or nil where nothing is there that this user may see.
local function unless_absent(fn, ...)
  local ok, result = core.pcall(fn, ...)
  if ok then return result end
  if core.errors.is(result, core.errors.OSError) and absence[result.code] then return nil end
  error(result, 0)
end

local function entries(path)
  local list = {}
  for name, type in fs.scandir(path == "" and "." or path) do list[#list + 1] = { name, type } end
  return list
end

local function join(folder, name)
  return (folder == "" or folder:sub(-1) == "/") and folder .. name or folder .. "/" .. name
end

local function may_lead_on(type) return type == "directory" or type == "link" end

local expand

--- "**": no directory, or any number of them; at the end of the pattern everything that is there.
local function expand_all(self, folder, at)
  local is_last = self.parts[at + 1] == nil
  if not is_last then expand(self, folder, at + 1) end
  for _, entry in ipairs(unless_absent(entries, folder) or {}) do
    local name, type = entry[1], entry[2]
    if name:sub(1, 1) ~= "." or self.hidden then
      local path = join(folder, name)
      if is_last then self.found[path] = true end
      if type == "directory" then expand_all(self, path, at) end
    end
  end
end

local function expand_magic(self, folder, at)
  local part, is_last = self.parts[at], self.parts[at + 1] == nil
  for _, entry in ipairs(unless_absent(entries, folder) or {}) do
    local name, type = entry[1], entry[2]
    local visible = name:sub(1, 1) ~= "." or self.hidden or part.text:sub(1, 1) == "."
    if visible and (is_last or may_lead_on(type)) and pattern.matches(part.tokens, name) then
      expand(self, join(folder, name), at + 1)
    end
  end
end

--- Adds what the parts of the pattern from `at` on match in `folder`.
function expand(self, folder, at)
  local part = self.parts[at]
  if not part then
    self.found[folder] = true
  elseif part.text == "**" then
    expand_all(self, folder, at)
  elseif part.tokens then
    expand_magic(self, folder, at)
  else
    local path = join(folder, part.text)
    if self.parts[at + 1] or unless_absent(fs.lstat, path) then expand(self, path, at + 1) end
  end
end

local function parse(text)
  local parts = {}
  for part in text:gmatch("[^/]+") do
    if part ~= "**" or not parts[1] or parts[#parts].text ~= "**" then
      parts[#parts + 1] = { text = part, tokens = pattern.is_magic(part) and pattern.compile(part) or nil }
    end
  end
  -- A slash at the end: what is there must be a directory.
  if parts[1] and text:sub(-1) == "/" then parts[#parts + 1] = { text = "" } end
  return parts
end

--- fs.glob(pattern, opts?): sorted array of the paths that a pattern matches. See types/fs.lua.
local function glob(text, opts)
  check.path(text, 1, "glob")
  opts = check.options(opts, 2, "glob", { hidden = "boolean" })
  local self = { parts = parse(text), found = {}, hidden = opts.hidden }
  if text ~= "" then expand(self, text:sub(1, 1) == "/" and "/" or "", 1) end
  local paths = {}
  for path in pairs(self.found) do paths[#paths + 1] = path end
  table.sort(paths)
  return paths
end

return glob
