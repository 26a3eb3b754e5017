--- luawait.process: child processes. In Lua on the processes of io/process.c and the streams of io/pipe.c.
local core = require "luawait.core"
local check = require "luawait.check"
local await = require "luawait.await"
local scopes = require "luawait.scopes"

local process = {}

-- ---- what the caller asked for ----

--- What is wrong with an argument: raised here, and raised again by the function that the user called.
local Complaint = {}

local function complain(position, complaint, ...)
  error(setmetatable({position = position, text = complaint:format(...)}, Complaint))
end

local function check_string(position, value, what)
  if type(value) ~= "string" then complain(position, "%sstring expected, got %s", what, type(value)) end
  if value:find("\0", 1, true) then complain(position, "%sstring without zeros expected", what) end
end

local function check_argv(argv)
  if type(argv) ~= "table" then complain(1, "array of strings expected, got %s", type(argv)) end
  if #argv == 0 then complain(1, "the array is empty: the name of a program expected") end
  local copy = {}
  for i = 1, #argv do
    check_string(1, argv[i], ("element %d: "):format(i))
    copy[i] = argv[i]
  end
  return copy
end

--- The environment of the child as an array of "NAME=value": this program's with the changes in `env`; or false.
local function check_env(env)
  if env == nil then return false end
  local variables, list = core.process.environ(), {}
  for name, value in pairs(env) do
    check_string(2, name, "option 'env': name: ")
    if name == "" or name:find("=", 1, true) then complain(2, "option 'env': '%s' is no name of a variable", name) end
    if value then check_string(2, value, ("option 'env': %s: "):format(name)) end
    variables[name] = value or nil
  end
  for name, value in pairs(variables) do list[#list + 1] = name .. "=" .. value end
  return list
end

local function check_stdio(opts, key, default)
  local value = opts[key]
  if value == nil then return default end
  if value == "pipe" or value == "null" or value == "inherit" or (key == "stderr" and value == "stdout") then
    return value
  end
  local open, descriptor = pcall(core.process.descriptor, value)
  if not open then complain(2, "option '%s': the file is closed", key) end
  if descriptor then return descriptor end
  complain(2, "option '%s': 'pipe', 'null'%s, 'inherit' or a File expected, got %s", key,
    key == "stderr" and ", 'stdout'" or "", type(value) == "string" and ("'%s'"):format(value) or type(value))
end

local spawn_types = {
  cwd = "string", env = "table", group = "boolean", detached = "boolean", stdin = "any", stdout = "any", stderr = "any",
}
local run_types = {
  cwd = "string", env = "table", group = "boolean", input = "string", check = "boolean", timeout = "number",
  stdin = "any", stdout = "any", stderr = "any",
}

local function check_options(opts, types)
  local complaint = check.option_complaint(opts, types)
  if complaint then complain(2, "%s", complaint) end
  opts = opts or {}
  if opts.cwd then check_string(2, opts.cwd, "option 'cwd': ") end
  if types.input and opts.input and opts.stdin and opts.stdin ~= "pipe" then
    complain(2, "option 'input': stdin is '%s'", tostring(opts.stdin))
  end
  return opts
end

--- What start and run need, and the options, which keep the Files among them alive.
local function make_plan(argv, opts, types)
  argv = check_argv(argv)
  opts = check_options(opts, types)
  return {
    argv = argv, cwd = opts.cwd or false, env = check_env(opts.env),
    detached = types.detached and opts.detached or false, group = opts.group or false,
    stdin = check_stdio(opts, "stdin", types.input and not opts.input and "null" or "pipe"),
    stdout = check_stdio(opts, "stdout", "pipe"), stderr = check_stdio(opts, "stderr", "pipe"),
    input = opts.input, check = opts.check, timeout = opts.timeout, opts = opts,
  }
end

--- The arguments of `caller`, a public function that calls this, all of them checked.
local function plan(caller, argv, opts, types)
  local ok, result = pcall(make_plan, argv, opts, types)
  if ok then return result end
  if getmetatable(result) == Complaint then check.fail(result.position, caller, result.text) end
  error(result, 0)
end

-- ---- Process ----

local Process = {__name = "Process"}
Process.__index = Process

local function start(what)
  local self = setmetatable({argv = what.argv, detached = what.detached}, Process)
  self.handle, self.pid, self.stdin, self.stdout, self.stderr = core.process.spawn(what.argv, what.cwd, what.env,
    what.detached, what.group, what.stdin, what.stdout, what.stderr)
  return self
end

--- process.spawn(argv, opts?): starts the program argv[1], found on the PATH, with the arguments argv[2] and so on; no
-- shell is involved. Does not wait. opts.stdin, stdout, stderr: "pipe" (the default; the process has a Stream by this
-- name), "inherit", "null", or a File of luawait.fs; stderr also "stdout". opts.cwd: its directory; opts.env: table of
-- variables that it has besides or instead of this program's (false: it has it not); opts.group: it leads a session and
-- process group of its own, and signals go to the group; opts.detached: it has a session of its own, and may outlive
-- the run. Raises OSError with `path`: the program or the directory that could not be had. After
-- asyncio.create_subprocess_exec.
function process.spawn(argv, opts)
  return start(plan("spawn", argv, opts, spawn_types))
end

--- child:wait(): waits for its end; returns the exit status, or nil and the name of the signal that ended it. Any
-- number of tasks may wait. A child whose pipes nobody reads may never end. A cancelled one leaves nothing behind.
function Process:wait()
  check.self(self, Process, "wait")
  return self.handle:wait()
end

--- child:kill(sig?): sends a signal ("SIGKILL"), to the whole group with opts.group. Returns false when it has ended,
-- and nobody of its group is left. Raises OSError; RuntimeError after a run that a detached child has outlived.
function Process:kill(sig)
  check.self(self, Process, "kill")
  local number = sig == nil and core.signal.number("SIGKILL") or type(sig) == "string" and core.signal.number(sig)
  if not number then
    check.fail(1, "kill", type(sig) == "string" and ("unknown signal '%s'"):format(sig)
      or ("name of a signal expected, got %s"):format(type(sig)), 2)
  end
  return self.handle:kill(number)
end

--- child:terminate(): as kill("SIGTERM").
function Process:terminate()
  check.self(self, Process, "terminate")
  return self:kill("SIGTERM")
end

local function close_pipes(self)
  for _, name in ipairs {"stdin", "stdout", "stderr"} do
    if self[name] then self[name]:close() end
  end
end

--- Leaving the scope kills the child, closes its pipes and waits for its end. One that is detached goes on. What a
-- child that is killed was still to be sent is dropped: others may hold the pipe, and not read.
function Process:__close()
  if self.detached then return close_pipes(self) end
  self:kill()
  if self.stdin then self.stdin:abort() end
  close_pipes(self)
  if core.current_task() then self:wait() end
end

function Process:__tostring()
  return ("<Process %d %s %s>"):format(self.pid, self.argv[1], self.handle:ended() and "ended" or "running")
end

-- ---- run ----

--- Tasks that are cancelled, and waited for, when the scope is left.
local Helpers = {}

function Helpers:__close()
  for _, task in ipairs(self) do task:cancel() end
  if #self > 0 then core.wait(self) end
end

--- A child need not read what it is offered.
local function feed(stdin, input)
  local ok, err = core.pcall(function()
    stdin:write(input)
    stdin:shutdown()
  end)
  stdin:close()
  if not ok and err.code ~= "EPIPE" and err.code ~= "ECONNRESET" then error(err, 0) end
end

--- Feeds the child and reads what it writes, all at the same time, until it has closed its pipes and ended. `result`
-- gets each thing as soon as it is known.
local function communicate(child, input, result)
  local helpers <close> = setmetatable({}, Helpers)
  if child.stdin and input and input ~= "" then
    helpers[#helpers + 1] = core.create_task(function() feed(child.stdin, input) end)
  elseif child.stdin then
    child.stdin:close()
  end
  local errors = child.stderr and core.create_task(function() result.stderr = child.stderr:read_all() end)
  helpers[#helpers + 1] = errors
  result.stdout = child.stdout and child.stdout:read_all()
  if errors then await(errors) end
  result.status, result.signal = child:wait()
end

--- What came from a child and was not read to its end: a cancelled read has left it in the stream.
local function left_in(stream)
  if not stream then return nil end
  return stream:statistics().buffered > 0 and stream:read() or ""
end

--- Gives a TimeoutError that leaves the scope what the child had written.
local Output = {}

function Output:__close(err)
  if not core.errors.is(err, core.errors.TimeoutError) then return end
  err.stdout = self.result.stdout or left_in(self.child.stdout)
  err.stderr = self.result.stderr or left_in(self.child.stderr)
end

local TAIL = 2000 -- bytes of stderr that an error shows

local function raise_failed(name, result)
  local how = result.signal and "was ended by " .. result.signal or "ended with status " .. result.status
  local said = (result.stderr or ""):gsub("%s+$", "")
  if #said > TAIL then said = "..." .. said:sub(-TAIL) end
  local message = ("%s %s%s%s"):format(name, how, said == "" and "" or ": ", said)
  error(core.errors.ProcessError(message, result), 0)
end

local function run(caller, what)
  check.task(caller)
  local child <close> = start(what)
  local result = {}
  local _ <close> = setmetatable({child = child, result = result}, Output)
  scopes.timeout(what.timeout, communicate, child, what.input, result)
  if what.check and result.status ~= 0 then raise_failed(what.argv[1], result) end
  return result
end

--- process.run(argv, opts?): runs a program to its end, and to the end of its output: returns {status=, signal=,
-- stdout=, stderr=} (status nil if a signal ended it, stdout and stderr nil if they are no pipes). Waits. Options as
-- for spawn, but stdin is "null" unless there is opts.input, a string that it is fed, of which it may leave a part;
-- opts.check: a status other than 0 raises ProcessError (status, signal, stdout, stderr; the message shows the end of
-- stderr); opts.timeout: seconds, after which TimeoutError is raised, which has what the child had written (stdout,
-- stderr). Raises OSError as spawn does. Cancelled, timed out or failed, it has killed the child (with opts.group its
-- group) and reaped it. After subprocess.run.
function process.run(argv, opts)
  return run("run", plan("run", argv, opts, run_types))
end

--- process.shell(line, opts?): as run, for a line of the shell (/bin/sh).
function process.shell(line, opts)
  if type(line) ~= "string" then check.fail(1, "shell", ("string expected, got %s"):format(type(line)), 2) end
  if line:find("\0", 1, true) then check.fail(1, "shell", "string without zeros expected", 2) end
  return run("shell", plan("shell", {"/bin/sh", "-c", line}, opts, run_types))
end

return process
