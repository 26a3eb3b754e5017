-- For the specs of the examples: temporary directories, bounded child processes, and web servers.
local helpers = require "spec.support.helpers"

local support = {}

local python = os.getenv("LUAWAIT_PYTHON") or "python3"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function command_line(words)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = quote(tostring(word)) end
  return table.concat(quoted, " ")
end

local function output_of(line)
  local pipe <close> = assert(io.popen(line))
  return pipe:read("a")
end

-- The specs run from the top of the repository.
local root = output_of("pwd"):match("^[^\n]+")
local here = root .. "/spec/examples/"

function support.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

function support.write(path, data)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(data))
end

function support.exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

-- The names in a directory, sorted.
function support.list(path)
  local names = {}
  for name in output_of("ls -A " .. quote(path)):gmatch("[^\n]+") do names[#names + 1] = name end
  return names
end

function support.make_directory(path)
  assert(os.execute("mkdir -p " .. quote(path)))
end

-- A new directory; remove it with support.remove.
function support.temporary()
  local template = (os.getenv("TMPDIR") or "/tmp") .. "/luawait-spec-XXXXXX"
  local path = output_of("mktemp -d " .. quote(template)):match("^(/.+)\n$")
  return assert(path, "mktemp failed")
end

function support.remove(path)
  assert(path:find("luawait-spec-", 1, true))
  os.execute("rm -rf " .. quote(path))
end

-- Runs a command line with its output in these files. Returns its exit status.
local function run_plainly(line, limit, stdin, work)
  local _, _, code = os.execute(("%s env %s <%s >%s/stdout 2>%s/stderr"):format(
    helpers.guard(limit), line, quote(stdin), quote(work), quote(work)))
  return (code == 124 or code == 137) and "late" or code
end

-- The same with what takes a program of its own.
local function run_watched(line, limit, stdin, work, opts)
  local words = { python, "-B", here .. "run_bounded.py", "--limit", limit, "--stdin", stdin }
  local function add(...) table.move({ ... }, 1, select("#", ...), #words + 1, words) end
  if opts.terminal then add("--terminal") end
  if opts.interrupt_at then add("--interrupt-at", opts.interrupt_at) end
  if opts.interrupt_when then add("--interrupt-when", opts.interrupt_when) end
  add(work, "env")
  local status = output_of(command_line(words) .. " " .. line):match("^(.-)%s*$")
  return math.tointeger(tonumber(status)) or status
end

-- Runs the words of a command. opts: `stdin` (text), `terminal` (stderr is one), `interrupt_at` (SIGINT when that text
-- came on the terminal) or `interrupt_when` (... when that file exists), `env` (array of NAME=VALUE). Returns `status`
-- (a number, or "late" when it took a minute and was killed), `stdout`, `stderr`.
function support.run(command, opts)
  opts = opts or {}
  local work, stdin = support.temporary(), "/dev/null"
  if opts.stdin then
    stdin = work .. "/stdin"
    support.write(stdin, opts.stdin)
  end
  local line = command_line(opts.env or {}) .. " " .. command_line(command)
  local is_plain = not (opts.terminal or opts.interrupt_at or opts.interrupt_when)
  local run = is_plain and run_plainly or run_watched
  local result = {
    status = run(line, os.getenv("LUAWAIT_SLOW") and 240 or 60, stdin, work, opts),
    stdout = support.read(work .. "/stdout"),
    stderr = support.read(work .. "/stderr"),
  }
  support.remove(work)
  return result
end

-- Runs a program of examples/ with this interpreter.
function support.example(name, words, opts)
  local lua = os.getenv("LUA") or "lua5.4"
  return support.run({ lua, root .. "/examples/" .. name, table.unpack(words or {}) }, opts)
end

-- Starts the servers of servers.py on a directory. Returns their ports by name, and the function that ends them.
function support.serve(tree)
  local work = support.temporary()
  local pipe = assert(io.popen(command_line({ python, "-B", here .. "servers.py", tree, work }), "w"))
  local function stop()
    pipe:close()
    support.remove(work)
  end
  for _ = 1, 600 do
    if support.exists(work .. "/ready") then break end
    os.execute("sleep 0.1")
  end
  local ready = support.exists(work .. "/ready") and support.read(work .. "/ready") or "error: the servers hang\n"
  local ports = {}
  for name, port in ready:gmatch("(%w+) (%d+)\n") do ports[name] = math.tointeger(tonumber(port)) end
  if not ports.closed then
    stop()
    error(ready, 0)
  end
  return ports, stop
end

return support
