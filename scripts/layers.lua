-- Checks the layer rule: base <- core <- {sync, io} <- worker <- luawait.c, with embed on core alone.
-- A C file includes, and a Lua module requires, only what stands on the same floor or a lower one; sync and io never
-- meet. Prints each violation and exits with 1. Run from the top of the repository.

-- What each floor may use besides itself.
local below = {
  base = {},
  core = { "base" },
  sync = { "base", "core" },
  io = { "base", "core" },
  worker = { "base", "core", "sync", "io" },
  embed = { "base", "core", "public" },
  public = {},
  top = { "base", "core", "sync", "io", "worker", "embed", "public" },
}

-- C files that stand directly in csrc/; any other's floor is its folder.
local c_floors = {
  ["luawait.h"] = "public",
  ["luawait.c"] = "top",
  ["libedit.c"] = "base",
  ["preload.c"] = "top",
}

-- Lua modules by the name after "luawait."; the C module is `luawait.core`, which all may use.
local lua_floors = {
  init = "top",
  errors = "base",
  core = "base",
  check = "base",
  await = "core",
  scopes = "core",
  group = "core",
  callbacks = "core",
  primitives = "sync",
  as_completed = "sync",
  std = "core",
  command = "top",
  luv = "io",
  testing = "core",
  net = "io",
  fs = "io",
  process = "io",
  signal = "io",
  tty = "io",
  thread = "worker",
}

local violations, seen = {}, 0

local function complain(...)
  violations[#violations + 1] = string.format(...)
end

local function list_files(folder, pattern)
  local pipe <close> = assert(io.popen(("find %s -type f -name '%s' | sort"):format(folder, pattern)))
  local files = {}
  for name in pipe:lines() do files[#files + 1] = name:sub(#folder + 2) end
  return files
end

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local function may_use(floor, other)
  if floor == other then return true end
  for _, name in ipairs(below[floor]) do
    if name == other then return true end
  end
  return false
end

local function check_use(where, floor, what, other)
  if not may_use(floor, other) then complain("%s: %s may not use %s, which is %s", where, floor, what, other) end
end

local function c_floor(name)
  local folder = name:match("^([^/]+)/")
  if folder then return below[folder] and folder end
  return c_floors[name]
end

-- "x.h" beside the file that includes it, or from the top of csrc/.
local function resolve_include(from, name)
  local beside = (from:match("^(.*/)") or "") .. name
  return exists("csrc/" .. beside) and beside or name
end

local function check_c(name)
  local floor = c_floor(name)
  if not floor then return complain("csrc/%s: stands on no known floor", name) end
  local number = 0
  for line in io.lines("csrc/" .. name) do
    number = number + 1
    local included = line:match('^%s*#%s*include%s*"([^"]+)"')
    if included then
      seen = seen + 1
      local target = resolve_include(name, included)
      local other = c_floor(target)
      local where = ("csrc/%s:%d"):format(name, number)
      if included:find("..", 1, true) then complain("%s: name %s from csrc/", where, included)
      elseif not other then complain("%s: %s stands on no known floor", where, target)
      else check_use(where, floor, target, other) end
    end
  end
end

-- The floor of a folder or of a module: `net` covers luawait.net and luawait.net.stream.
local function lua_floor(name)
  return lua_floors[name:match("^[^.]+")] or below[name:match("^[^.]+")] and name:match("^[^.]+")
end

local function check_lua(path)
  local module = path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  local floor = lua_floor(module)
  if not floor then return complain("lua/luawait/%s: give it a floor in scripts/layers.lua", path) end
  local number = 0
  for line in io.lines("lua/luawait/" .. path) do
    number = number + 1
    for required in line:gsub("%-%-.*", ""):gmatch("require%s*%(?%s*[\"']luawait([%w_.]*)[\"']") do
      seen = seen + 1
      local name = required == "" and "init" or required:sub(2)
      local other = lua_floor(name)
      local where = ("lua/luawait/%s:%d"):format(path, number)
      if not other then complain("%s: luawait.%s stands on no known floor", where, name)
      else check_use(where, floor, "luawait" .. required, other) end
    end
  end
end

for _, name in ipairs(list_files("csrc", "*.[ch]")) do check_c(name) end
for _, name in ipairs(list_files("lua/luawait", "*.lua")) do check_lua(name) end

for _, line in ipairs(violations) do print(line) end
print(("%d uses checked, %d violations"):format(seen, #violations))
os.exit(#violations == 0 and seen > 0)
