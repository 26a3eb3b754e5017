--- The `luawait` command: scripts, code and the prompt as main tasks of one loop. bin/luawait is what starts it.
local async = require "luawait"
local core = require "luawait.core"
local std = require "luawait.std"
local guarded = require "luawait.command.guarded"

local USAGE = [==[
usage: luawait [options] [script [args]]
options:
  -e CODE    run CODE
  -l NAME    require module NAME into the global NAME
  -i         afterwards go on with the prompt
  --debug    run in debug mode
  --version  print the version
  --help     print this
  --         stop handling options
  -          run standard input as the script
Without a script and without -e: the prompt if standard input is a terminal, else standard input.]==]

local USAGE_ERROR, INTERRUPTED = 2, 130 -- exit statuses

-- ---- options ----

local readers = {}

-- Reads the options; returns {steps=, script=its index or nil, ...}, or nil and a complaint.
local function parse(args)
  local options = {steps = {}}
  local i = 1
  while args[i] and args[i]:find("^%-.") do
    local option, rest = args[i], nil
    if option == "--" then
      i = i + 1
      break
    end
    if option:find("^%-[el]") then option, rest = option:sub(1, 2), option:sub(3) end
    local read = readers[option]
    if not read then return nil, ("unrecognized option '%s'"):format(option) end
    if rest == "" then
      i = i + 1
      rest = args[i]
      if not rest then return nil, ("'%s' needs an argument"):format(option) end
    end
    read(options, rest)
    i = i + 1
  end
  if args[i] then options.script = i end
  return options
end

-- A step is a function that returns the function to run and its arguments, or nil and why there is none.

readers["-e"] = function(options, code)
  options.code = true
  table.insert(options.steps, function() return load(code, "=(command line)") end)
end

readers["-l"] = function(options, spec)
  local global, name = spec:match("^([^=]+)=(.*)$")
  table.insert(options.steps, function()
    return function() _G[global or spec] = require(name or spec) end
  end)
end

readers["-i"] = function(options) options.interactive = true end
readers["--debug"] = function(options) options.debug = true end
readers["--version"] = function(options) options.version = true end
readers["--help"] = function(options) options.help = true end
readers["-v"], readers["-h"] = readers["--version"], readers["--help"]

local function add_script(options, args)
  local name = args[options.script]
  if name == "-" then name = nil end
  table.insert(options.steps, function()
    local chunk, message = loadfile(name)
    if not chunk then return nil, message end
    return chunk, table.unpack(args, options.script + 1)
  end)
end

-- The global `arg`: the script has index 0, what stands before it is negative, as lua does it.
local function set_arg(args, script)
  local shifted, i = {}, #args
  while args[i] do
    shifted[i - (script or 0)] = args[i]
    i = i - 1
  end
  rawset(_G, "arg", shifted)
end

-- ---- running ----

local function run_step(chunk, ...)
  if not chunk then error((...), 0) end
  guarded.call(chunk, ...)
end

-- Runs everything as the main task. Returns the exit status, having said what went wrong.
local function run_steps(runner, options)
  local ok, err = core.try(runner.run, runner, function()
    for _, step in ipairs(options.steps) do run_step(step()) end
  end)
  if not options.interactive then runner:close() end
  if ok then return 0 end
  io.stderr:write("luawait: ", guarded.describe(err), "\n")
  return async.errors.is(err, async.KeyboardInterrupt) and INTERRUPTED or 1
end

local function wants_prompt(options)
  return options.interactive or not (options.script or options.code) and core.input.is_terminal(0)
end

-- A script that the standard input holds, where there is nothing else to run.
local function default_to_input(options, args)
  if options.script or options.code or options.interactive then return end
  options.script = #args + 1
  args[options.script] = "-"
end

local function run(options, args)
  options.interactive = wants_prompt(options)
  default_to_input(options, args)
  set_arg(args, options.script)
  if options.script then add_script(options, args) end
  if options.interactive or options.code then rawset(_G, "async", async) end
  std.install()
  local runner = async.Runner({debug = options.debug})
  local status = run_steps(runner, options)
  if not options.interactive then return status end
  require("luawait.command.prompt")(runner)
  runner:close()
  return 0
end

--- Runs the command with these arguments: an array whose index 0 is the command's own name. Returns the exit status.
return function(args)
  local options, complaint = parse(args)
  if not options then
    io.stderr:write("luawait: ", complaint, "\n", USAGE, "\n")
    return USAGE_ERROR
  end
  if options.help then
    print(USAGE)
    return 0
  end
  if options.version then
    print(("luawait %s (%s, libuv %s)"):format(async._VERSION, _VERSION, core.libuv))
    if #options.steps == 0 and not options.script and not options.interactive then return 0 end
  end
  return run(options, args)
end
