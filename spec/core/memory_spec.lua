-- Every step of every program has something put in its way, in turn: an allocation fails, a full collection runs, the
-- state is closed. It may end with an error, but not with a crash, a hang, or a leak.
local helpers = require "spec.support.helpers"
local programs = require "spec.support.programs"

local host = os.tmpname()
local compiled = os.tmpname()

local function flags()
  for _, name in ipairs({ "lua5.4", "lua-5.4", "lua54", "lua" }) do
    local pipe <close> = assert(io.popen(("pkg-config --cflags --libs '%s >= 5.4' 2>/dev/null"):format(name)))
    local text = pipe:read("l")
    if text then return text end
  end
  return "-I/usr/include/lua5.4 -llua5.4"
end

local function build()
  local line = "%s -std=c11 -g -Wl,-E -o %s spec/support/torture.c %s -lm 2>/dev/null"
  if os.execute("uname | grep -q Darwin") then line = line:gsub("%-Wl,%-E ", "") end
  return os.execute(line:format(os.getenv("CC") or "cc", host, flags()))
end

-- Each round loads the modules: compiled, that takes a third of the time.
local function compile()
  os.remove(compiled)
  local pipe <close> = assert(io.popen("cd lua && find luawait -name '*.lua'"))
  for name in pipe:lines() do
    assert(os.execute(("mkdir -p '%s/%s'"):format(compiled, name:match("^(.*)/"))))
    helpers.write_file(compiled .. "/" .. name, string.dump(assert(loadfile("lua/" .. name))))
  end
end

local function play(mode, stride, program, prelude)
  local files = { os.tmpname(), os.tmpname(), os.tmpname() }
  local _ <close> = helpers.defer(function() for _, name in ipairs(files) do os.remove(name) end end)
  helpers.write_file(files[1], program)
  helpers.write_file(files[2], prelude)
  local preload = os.getenv("LUAWAIT_PRELOAD")
  local path = (" LUA_PATH='%s/?.lua;%s/?/init.lua'"):format(compiled, compiled)
  local line = ("timeout -k 1 240 env %s '%s' %s %d '%s' '%s' 2>'%s'"):format(
    (preload and ("LD_PRELOAD='%s'"):format(preload) or "") .. path, host, mode, stride, files[1], files[2], files[3])
  local pipe = assert(io.popen(line))
  local rounds = pipe:read("a")
  local ok, how, code = pipe:close()
  local errors = helpers.read_file(files[3])
  assert(ok, ("%s %s: %s"):format(how, code, errors:sub(-4000)))
  return tonumber(rounds)
end

-- Not every step is taken, and under the sanitizers fewer.
local function stride(step, slow_step) return helpers.slow and slow_step or step end

describe("without memory:", function()
  local built

  setup(function()
    built = build()
    compile()
  end)
  teardown(function()
    os.remove(host)
    os.execute(("rm -rf '%s'"):format(compiled))
    programs.clean()
  end)

  local function round(mode, step, program, prelude)
    if not built then return pending("no C compiler, or no liblua to link with") end
    assert.is_true(play(mode, step, program, prelude) > 5)
  end

  it("opening the module", function()
    round("once", 1, 'require "luawait" require "luawait.net" require "luawait.fs" require "luawait.testing"', "")
  end)

  for _, name in ipairs(programs.names()) do
    local source = programs.sources[name]
    local prelude = programs.prelude_of(source)
    it(name .. ": one failure", function() round("once", stride(1, 7), source, prelude) end)
    it(name .. ": no memory from there on", function() round("on", stride(5, 11), source, prelude) end)
    it(name .. ": a full collection at each allocation", function()
      round("collect", stride(1, 5), source, prelude)
    end)
    it(name .. ": the state is closed in each call", function()
      round("close", 3, source, prelude)
    end)
  end
end)
