-- Follows a log as `tail -F` does: gives each line that is added, also when the log is moved away and begun anew.
--   scripts/lua.sh examples/log_follower.lua [FOLDER NAME]
-- Without arguments it follows one that a task writes meanwhile.
local async = require "luawait"
local fs = require "luawait.fs"

-- Calls on_line for what was added since; returns the beginning of a line whose end has not come yet.
local function read_on(file, rest, on_line)
  for piece in file:lines("L") do
    rest = rest .. piece
    if rest:sub(-1) == "\n" then
      on_line(rest:sub(1, -2))
      rest = ""
    end
  end
  return rest
end

-- Is `path` another file by now?
local function was_replaced(path, inode)
  local ok, stat = async.pcall(fs.stat, path)
  return ok and stat.ino ~= inode
end

local function follow(folder, name, on_line)
  local path = folder .. "/" .. name
  local watch <close> = fs.watch(folder) -- from before the first look at the file, so that nothing is missed
  while true do
    local file <close> = fs.open(path)
    local inode, rest = file:stat().ino, ""
    repeat
      rest = read_on(file, rest, on_line)
      watch:next()
    until was_replaced(path, inode)
    read_on(file, rest, on_line)
  end
end

local function write_log(folder)
  local path = folder .. "/demo.log"
  for i = 1, 3 do
    fs.write_file(path, ("request %d\n"):format(i), { append = true })
    async.sleep(0.02)
  end
  fs.write_file(path, "half a line, ", { append = true })
  async.sleep(0.02)
  fs.write_file(path, "and the other half\n", { append = true })
  fs.rename(path, path .. ".1")
  fs.write_file(path, "a new log\n", { append = true })
  async.sleep(0.02)
  fs.write_file(path, "the end\n", { append = true })
end

local function demo()
  local folder = fs.mkdtemp()
  local _ <close> = setmetatable({}, { __close = function() fs.rmtree(folder) end })
  fs.write_file(folder .. "/demo.log", "")
  async.task_group(function(tg)
    tg:create_task(function() write_log(folder) end)
    follow(folder, "demo.log", function(line)
      print(line)
      if line == "the end" then tg:cancel() end
    end)
  end)
end

async.run(function()
  if arg[2] then follow(arg[1], arg[2], print) else demo() end
end)
