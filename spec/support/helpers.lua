--- What the specs share.
local async = require "luawait"
local hooks = require("luawait.core").testing
local testing = require "luawait.testing"

local helpers = {}

--- Under the sanitizers or valgrind, where everything is slow, the specs do fewer rounds of the same.
helpers.slow = os.getenv("LUAWAIT_SLOW") ~= nil

function helpers.scale(rounds)
  return helpers.slow and rounds // 10 or rounds
end

--- The error that fn(...) raises, or nil.
function helpers.failure(fn, ...)
  local ok, err = pcall(fn, ...)
  if not ok then return err end
end

--- The name of an error's class; the type of a value that is no error object.
function helpers.kind(err)
  return type(err) == "table" and err.name or type(err)
end

--- The class of the error that fn(...) raises, "nothing" if it raises none.
function helpers.failure_kind(fn, ...)
  local ok, err = pcall(fn, ...)
  return ok and "nothing" or helpers.kind(err)
end

--- The text of the error that fn(...) raises, "nothing" if it raises none.
function helpers.failure_text(fn, ...)
  local ok, err = pcall(fn, ...)
  return ok and "nothing" or tostring(err)
end

--- A value for a <close> variable: runs fn when the block is left.
function helpers.defer(fn)
  return setmetatable({}, { __close = function(_, err) fn(err) end })
end

--- A list that is called to append a word and whose tostring is the words with spaces between them.
function helpers.log()
  return setmetatable({}, {
    __call = function(self, word) self[#self + 1] = tostring(word) end,
    __tostring = function(self) return table.concat(self, " ") end,
  })
end

--- Lets every ready task run until it waits for something that does not come by itself.
function helpers.settle()
  for _ = 1, 10 do async.sleep(0) end
end

--- Waits until cancelled. Where nothing else goes on, a cancellation that is missed ends the run with DeadlockError.
function helpers.forever()
  async.sleep(math.huge)
end

--- Lets this many seconds of the loop's clock pass without a wait.
function helpers.spin(seconds)
  local virtual, when = pcall(hooks.after, seconds)
  if virtual then return hooks.move(when, true) end
  local stop = async.time() + seconds
  repeat until async.time() >= stop
end

local function nested(depth) return depth > 0 and nested(depth - 1) or depth end

--- As pcall(fn, ...), where the n-th request for memory that Lua makes fails.
function helpers.pcall_failing(n, fn, ...)
  nested(20) -- so that none is made for the stack before fn is called
  hooks.fail_from_now(n)
  local ok, result = pcall(fn, ...)
  hooks.stop_failing()
  return ok, result
end

--- Collects all garbage, also what only a finalizer let go.
function helpers.collect_garbage()
  collectgarbage()
  collectgarbage()
end

--- async.run(fn, opts) with what is reported to the exception handler collected: the array of reports, then as pcall.
function helpers.collect(fn, opts)
  local reports = {}
  return reports, pcall(async.run, function()
    async.set_exception_handler(function(info) reports[#reports + 1] = info end)
    return fn(reports)
  end, opts)
end

local function must_be_quiet(reports, ok, ...)
  if not ok then error((...), 0) end
  local report = reports[1]
  if report then
    error(("unexpected report: %s (%s)"):format(report.message, tostring(report.error)), 0)
  end
  return ...
end

--- async.run(fn, opts); nothing may be reported to the exception handler.
function helpers.run(fn, opts)
  return must_be_quiet(helpers.collect(fn, opts))
end

--- Options for a test that is about tasks which are left at the end.
helpers.leaving_tasks = { leaks = { tasks = false } }

--- testing.run(fn, opts): on a virtual clock; nothing may be reported or left behind.
function helpers.test(fn, opts)
  local with_timeout = { timeout = 60 }
  for key, value in pairs(opts or {}) do with_timeout[key] = value end
  return testing.run(fn, with_timeout)
end

--- Every string in a report or an error object, one a line.
function helpers.texts(object)
  local texts = {}
  for _, value in pairs(object) do
    if type(value) == "string" then texts[#texts + 1] = value end
  end
  return table.concat(texts, "\n")
end

--- What stands at `path`; "" if there is nothing.
function helpers.read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local _ <close> = file
  return file:read("a")
end

function helpers.write_file(path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function environment(variables)
  local words = {}
  for name, value in pairs(variables or {}) do words[#words + 1] = ("%s=%s"):format(name, quote(value)) end
  return table.concat(words, " ")
end

--- The path of a part of the build that only the tests use: "embed", "faults".
function helpers.built(name)
  local path = (os.getenv("LUAWAIT_BUILD") or "build") .. "/" .. name
  local _, _, code = os.rename(path, path)
  assert(code ~= 2, path .. " is missing: scripts/build.sh build -DLUAWAIT_TESTS=ON builds it")
  return path
end

--- The words before a command that shall take so long at most: `timeout` ends it, and its exit status is 124 or 137.
function helpers.guard(seconds)
  for _, name in ipairs({ "timeout", "gtimeout" }) do
    if os.execute(("command -v %s >/dev/null 2>&1"):format(name)) then return ("%s -k 1 %d"):format(name, seconds) end
  end
  return ""
end

--- Runs Lua code in an interpreter of its own, with the LUA_PATH and LUA_CPATH of this one; `async` is luawait there,
--- and ... the name of the file that takes its stderr. Returns { status=, stdout=, stderr= }; the status of a child
--- that a signal ended is 128 + the signal. opts.bare: without `async`; opts.env: more variables; opts.megabytes: the
--- address space that it gets; opts.descriptors: how many it may have; opts.seconds: after which it is killed (60).
function helpers.child(source, opts)
  opts = opts or {}
  local script, out, err = os.tmpname(), os.tmpname(), os.tmpname()
  local _ <close> = helpers.defer(function()
    for _, path in ipairs({ script, out, err }) do os.remove(path) end
  end)
  helpers.write_file(script, (opts.bare and "" or 'local async = require "luawait" ') .. source)
  local command = table.concat({
    opts.megabytes and ("ulimit -v %d;"):format(opts.megabytes * 1024) or "",
    opts.descriptors and ("ulimit -n %d;"):format(opts.descriptors) or "", environment(opts.env),
    helpers.guard(opts.seconds or 60), quote(os.getenv("LUA") or "lua5.4"), quote(script), quote(err),
  }, " ")
  local _, how, code = os.execute(("%s >%s 2>%s </dev/null"):format(command, quote(out), quote(err)))
  return {
    status = how == "signal" and 128 + code or code,
    stdout = helpers.read_file(out),
    stderr = helpers.read_file(err),
  }
end

--- As child(), for code that must end well: with status 0 and nothing on stderr. Returns its stdout.
function helpers.child_output(source, opts)
  local result = helpers.child(source, opts)
  if result.status ~= 0 or result.stderr ~= "" then
    error(("the child ended with status %d; stderr: %s"):format(result.status, result.stderr), 2)
  end
  return result.stdout
end

return helpers
