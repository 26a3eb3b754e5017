-- luawait.h for others than C programs: C modules that find its functions in a table, and C++.
local async = require "luawait"
local embed = require "spec.support.embed"
local helpers = require "spec.support.helpers"

describe("a C module that is not linked with luawait", function()
  local module

  setup(function()
    package.cpath = embed.directory() .. "/?.so;" .. package.cpath
    module = require "api_module"
  end)

  it("finds the table of functions", function()
    assert.are.equal(1, module.version)
  end)

  it("has functions that wait for a thread", function()
    assert.are.same({ 4, 9, 16 }, {
      async.run(function()
        return async.gather(function() return module.square(2) end, function() return module.square(3) end,
          function() return module.square(4) end)
      end),
    })
    assert.is_true(_G.posted)
    _G.posted = nil
  end)

  it("hands errors on", function()
    local text = async.run(function() return helpers.failure_text(module.square, -1) end)
    assert.are.equal("negative", text)
    assert.matches("square: no open loop", helpers.failure_text(module.square, 1))
  end)

  it("starts tasks", function()
    local before = module.ends()
    async.run(function()
      module.spawn(function() async.sleep(0) end)
      async.await(module.spawn(function() async.sleep(0) end))
      async.sleep(0)
    end)
    assert.are.equal(before + 2, module.ends())
  end)

  it("is told where luawait is not loaded", function()
    local source = ("package.cpath = %q print(select(2, pcall(require, 'api_module')))"):format(package.cpath)
    local output = helpers.child_output(source, { bare = true })
    assert.matches("api_module needs luawait", output)
  end)
end)

describe("luawait.h in C++", function()
  local function compile(source)
    local file = os.tmpname()
    local include = helpers.read_file(embed.directory() .. "/lua_include")
    helpers.write_file(file, source)
    local command = "c++ -std=c++11 -Wall -Wextra -pedantic -Werror -fsyntax-only -x c++ -Icsrc -isystem '%s' '%s' 2>&1"
    local pipe = assert(io.popen(command:format(include, file)))
    local text = pipe:read("a")
    local ok = pipe:close()
    os.remove(file)
    return ok, text
  end

  it("compiles without a warning", function()
    if not os.execute("command -v c++ >/dev/null 2>&1") then return pending("no C++ compiler") end
    local ok, text = compile([[
      #include "luawait.h"
      int main() {
        luawait_Options options = LUAWAIT_OPTIONS_INIT;
        luawait_Limits limits = LUAWAIT_LIMITS_INIT;
        lua_State *L = nullptr;
        options.debug = 1;
        limits.memory = 1;
        const luawait_Api *api = luawait_api_get(L);
        return luawait_open(L, &options) + luawait_limit(L, &limits) + (api == nullptr);
      }]])
    assert.is_true(ok, text)
    assert.is_nil((compile('#include "luawait.h"\nint main() { return luawait_open(1); }')))
  end)
end)

describe("luawait.h", function()
  it("has the same functions in its table as by name", function()
    local text = helpers.read_file("csrc/luawait.h")
    local table_of_functions = text:match("typedef struct luawait_Api {(.-)} luawait_Api;")
    local count = 0
    for name in text:gmatch("\nLUAWAIT_API [^;]-[ *]luawait_([%l_]+)%(") do
      count = count + 1
      assert.matches("%(%*" .. name .. "%)", table_of_functions)
    end
    assert.are.equal(select(2, table_of_functions:gsub("%(%*", "")), count)
  end)

  it("is told of in docs/embedding.md", function()
    local page = helpers.read_file("docs/embedding.md")
    for name in helpers.read_file("csrc/luawait.h"):gmatch("\nLUAWAIT_API [^;]-[ *](luawait_[%l_]+)%(") do
      assert.is_truthy(page:find(name, 1, true), name)
    end
  end)
end)
