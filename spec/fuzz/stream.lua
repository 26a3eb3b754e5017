-- Reading from a stream whose bytes come in pieces of any size, with reads that are cancelled and tried
-- again: each read
-- gives what a model says, which knows all the bytes beforehand.
local async = require "luawait"
local script = require "spec.fuzz.script"

local ECONNRESET = -104 -- any error will do

-- ---- the model: what a read gives at position `at` of `content`, at whose end comes an EOF or an error ----

local function failure(name) return { error = name } end

--- The stream ends before the read is satisfied: `rest` is given, or the error `name` is raised, which takes it too.
local function at_end(model, rest, name)
  if model.code ~= 0 then return failure("OSError") end
  model.at = #model.content + 1
  if name then return { error = name, partial = rest } end
  return { value = rest }
end

local function take(model, n, drop)
  local value = model.content:sub(model.at, model.at + n - 1)
  model.at = model.at + n + (drop or 0)
  return { value = value }
end

local expect = {}

function expect.read_exactly(model, n)
  local rest = model.content:sub(model.at)
  if #rest >= n then return take(model, n) end
  return at_end(model, rest, "IncompleteReadError")
end

function expect.read_until(model, sep, limit)
  local rest = model.content:sub(model.at)
  local found = rest:find(sep, 1, true)
  if (found or #rest - #sep + 2) - 1 > limit then return failure("LimitOverrunError") end
  if found then return take(model, found - 1 + #sep) end
  return at_end(model, rest, "IncompleteReadError")
end

function expect.read_line(model, limit)
  local rest = model.content:sub(model.at)
  local found = rest:find("\n", 1, true)
  local line = rest:sub(1, (found or 0) - 1):gsub("\r$", "")
  if #line > limit then return failure("LimitOverrunError") end
  if found then return take(model, #line, found - #line) end
  return at_end(model, rest ~= "" and rest or nil)
end

function expect.read_all(model, limit)
  local rest = model.content:sub(model.at)
  if #rest > limit then return failure("LimitOverrunError") end
  return at_end(model, rest)
end

--- How much read(n) gives depends on the pieces.
local function check_read(model, n, got)
  local rest = model.content:sub(model.at)
  if rest == "" then
    local expected = at_end(model, nil)
    assert(got.error == expected.error and got.value == nil)
    return
  end
  assert(got.error == nil and #got.value >= 1 and #got.value <= n)
  assert(got.value == rest:sub(1, #got.value))
  model.at = model.at + #got.value
end

local function check(model, op, got)
  if op.name == "read" then return check_read(model, op[1], got) end
  local expected = expect[op.name](model, op[1], op[2])
  for _, key in ipairs({ "error", "value", "partial" }) do
    assert(got[key] == expected[key], ("%s at %d: %s is %q, not %q"):format(
      op.name, model.at, key, tostring(got[key]), tostring(expected[key])))
  end
end

-- ---- the input ----

local separators = { "\n", "\r\n", "--", "aab", "\0", "aa" }

local function next_op(byte)
  local kind, n = byte(), byte()
  n = n < 128 and n + 1 or (n - 127) * 521
  local op = ({
    { name = "read", n }, { name = "read_exactly", n }, { name = "read_until", separators[n % #separators + 1], n },
    { name = "read_line", n }, { name = "read_all", n },
  })[kind % 5 + 1]
  op.cancels = kind // 64 -- so often it is cancelled after a turn, and tried again
  return op
end

local function attempt(stream, op)
  local ok, value = pcall(stream[op.name], stream, op[1], op[2])
  if ok then return { value = value } end
  return { error = value.name or tostring(value), partial = value.partial }
end

--- Returns what the read got in the end.
local function perform(stream, op)
  for _ = 1, op.cancels do
    local task = async.create_task(function() return attempt(stream, op) end)
    async.sleep(0)
    task:cancel()
    local ok, got = pcall(async.await, task)
    if ok and got.error ~= "CancelledError" then return got end
  end
  return attempt(stream, op)
end

return function(data)
  local byte, rest = script.bytes(data)
  local ops, sizes = {}, {}
  for i = 1, byte() % 16 + 1 do ops[i] = next_op(byte) end
  for i = 1, byte() % 8 + 1 do
    local size = byte()
    sizes[i] = size < 128 and size + 1 or (size - 127) * 701
  end
  local code, times = byte() % 4 == 0 and ECONNRESET or 0, byte()
  local content = rest()
  content = content:rep(times < 192 and 1 or times - 191)
  script.run(function()
    local stream <close> = fuzz.stream()
    local model = { content = content, at = 1, code = code }
    local reader = async.create_task(function()
      for _, op in ipairs(ops) do check(model, op, perform(stream, op)) end
    end)
    script.feed(stream, content, sizes, code, reader)
    async.await(reader)
  end)
end
