--- Steps of random programs that use files: see actions.lua. All tasks use the same few names, so that they get into
-- each other's way.
local fs = require "luawait.fs"

local files = { folder = os.tmpname() .. ".stress" }

--- Whoever runs the programs calls this before them, and the other one after them.
function files.prepare() os.execute(("mkdir -p '%s'"):format(files.folder)) end

function files.clean()
  os.execute(("rm -rf '%s' '%s'"):format(files.folder, (files.folder:gsub("%.stress$", ""))))
end

local function use_file(env, file, bounded)
  for _ = 1, env.rng(6) do
    local how = env.rng(9)
    if how == 1 then file:write("line\n", env.rng(100), "\n", ("x"):rep(env.rng(100000)))
    elseif how == 2 then bounded(env, file.read, file, "l", env.rng(1000))
    elseif how == 3 then bounded(env, file.read, file, "n", "a")
    elseif how == 4 then bounded(env, file.seek, file, "set", env.rng(1000))
    elseif how == 5 then bounded(env, file.sync, file)
    elseif how == 6 then file:truncate(env.rng(10000))
    elseif how == 7 then assert(file:stat().type == "file")
    elseif how == 8 then
      for line in file:lines("L") do
        if #line > 5 then break end
      end
    else
      tostring(file)
    end
  end
end

--- Adds the steps: `tools` has functions of actions.lua.
function files.add_steps(step, tools)
  local bounded, pick, watch = tools.bounded, tools.pick, tools.watch
  local function path(env) return ("%s/%d"):format(files.folder, env.rng(6)) end

  step(function(env)
    fs.write_file(path(env), ("x"):rep(env.rng(100000)), { append = env.rng(2) == 1 })
    fs.write_file(path(env), "1 2\n3\n", { atomic = true })
    bounded(env, fs.read_file, path(env))
  end)
  step(function(env)
    local file <close> = watch(env, fs.open(path(env), pick(env, { "r", "w", "a", "r+", "w+", "a+", "wx" })))
    env.file = file
    use_file(env, file, bounded)
    if env.rng(3) == 1 then file:close() end
  end)
  step(function(env)
    if env.file then use_file(env, env.file, bounded) end -- of another task, which may close it meanwhile
    watch(env, fs.open(path(env), "a")) -- and drops it
  end)
  step(function(env)
    local file <close>, name = watch(env, fs.mkstemp(files.folder .. "/t"))
    if name then fs.remove(name) end
    file:write("x")
    fs.rmdir(fs.mkdtemp(files.folder .. "/d"))
  end)
  step(function(env)
    pick(env, {
      function() fs.remove(path(env)) end, function() fs.rename(path(env), path(env)) end,
      function() fs.copy(path(env), path(env)) end, function() fs.link(path(env), path(env)) end,
      function() fs.symlink("1", path(env)) end, function() fs.readlink(path(env)) end,
      function() fs.realpath(path(env)) end, function() fs.chmod(path(env), 384) end,
      function() fs.chown(path(env), -1, -1) end, function() fs.utime(path(env)) end,
      function() fs.access(path(env), "r") end, function() fs.exists(path(env)) end,
      function() fs.stat(path(env)) end, function() fs.lstat(path(env)) end,
    })()
  end)
  step(function(env)
    fs.mkdir(path(env) .. ".d/a/b", { parents = true, exist_ok = true })
    for _ in fs.scandir(files.folder) do
      if env.rng(5) == 1 then break end
    end
    for _, dirs in fs.walk(files.folder, { on_error = function() end }) do
      if env.rng(4) == 1 then table.remove(dirs) end
    end
    bounded(env, fs.glob, files.folder .. "/**/[ab]")
    bounded(env, fs.rmtree, path(env) .. ".d")
    bounded(env, fs.listdir, files.folder)
  end)
  step(function(env)
    local events <close> = watch(env, fs.watch(files.folder, { limit = env.rng(20) }))
    fs.write_file(path(env), "x")
    bounded(env, events.next, events)
    for kind in events do
      if kind then break end
    end
    assert(not events:is_closing())
    if env.rng(2) == 1 then events:close() end
  end)
end

return files
