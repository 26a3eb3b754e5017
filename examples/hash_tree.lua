-- The SHA-256 of every file below a directory, by the program sha256sum: at most four at a time, printed in the order
-- of the names. These come from `find` while it looks for them, and may hold anything, even line ends.
local async = require "luawait"
local process = require "luawait.process"

local directory = arg[1] or "examples/lib"

-- An iterator of the names of the files below the directory.
local function files()
  local find = process.spawn({ "find", ".", "-type", "f", "-print0" }, { cwd = directory, stderr = "inherit" })
  local function next_name()
    local ok, name = async.pcall(find.stdout.read_until, find.stdout, "\0")
    if ok then return name:sub(3, -2) end                    -- without "./" and the zero
    if not async.errors.is(name, async.IncompleteReadError) then error(name, 0) end
  end
  return next_name, nil, nil, find                           -- the loop closes it
end

local function hash(name)
  return process.run({ "sha256sum", "--", name }, { cwd = directory, check = true }).stdout:match("%x+")
end

async.run(function()
  local slots, hashes, names = async.Semaphore(4), {}, {}
  async.task_group(function(group)
    for name in files() do
      names[#names + 1] = name
      group:create_task(function()
        hashes[name] = slots:with(hash, name)
      end)
    end
  end)
  table.sort(names)
  for _, name in ipairs(names) do print(hashes[name], name) end
end)
