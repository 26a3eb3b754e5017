local async = require "luawait"
local command = require "spec.support.command"
local helpers = require "spec.support.helpers"

-- A script in a file of its own: its path, removed at the end of the block.
local function script(source)
  local path = os.tmpname()
  helpers.write_file(path, source)
  return path, helpers.defer(function() os.remove(path) end)
end

-- luawait ARGS..., which shall end well and quietly: what it printed.
local function output(args, opts)
  local result = command.run(args, opts)
  assert.same({ 0, "" }, { result.status, result.stderr })
  return result.stdout
end

describe("luawait", function()
  it("runs a script as the main task, with its arguments", function()
    local path, _ <close> = script([[
      local async = require "luawait"
      print(async.current_task():get_name(), async.sleep(0.001, "slept"))
      print(select("#", ...), ...)
      print(#arg, arg[0] == "PATH", arg[1], arg[2], arg[3], arg[-1]:match("[^/]*$"))]])
    helpers.write_file(path, (helpers.read_file(path):gsub("PATH", path)))
    assert.equal("Task-1\tslept\n3\ta b\t\t-e\n3\ttrue\ta b\t\t-e\tluawait\n", output({ path, "a b", "", "-e" }))
  end)

  it("lets the standard library's callbacks wait", function()
    local code = [[
      local async = require "luawait"
      local list = {3, 1, 2}
      table.sort(list, function(a, b) async.sleep(0) return a < b end)
      print(table.concat(list), (("x"):gsub("x", function() return async.sleep(0, "y") end)))]]
    assert.equal("123\ty\n", output({ "-e", code }))
  end)

  it("cancels the tasks that a script leaves, and reports failures that nobody has asked for", function()
    local result = command.run({ "-e", [[
      async.create_task(function()
        local _ <close> = setmetatable({}, {__close = function() print("cleaned up") end})
        async.sleep(100)
      end)
      async.create_task(function() error("lost") end)
      async.sleep(0)]] })
    assert.same({ 0, "cleaned up\n" }, { result.status, result.stdout })
    assert.matches("lost", result.stderr, 1, true)
  end)

  it("runs -e and -l in their order, then the script, in one task", function()
    local path, _ <close> = script("print(x, lib.upper('b'), async.current_task():get_name(), ...)")
    assert.equal("a\n1\tB\tTask-1\tmore\n", output({ "-l", "lib=string", "-e", "print(lib.lower('A'))", "-ex=1",
      path, "more" }))
    assert.equal("true\n", output({ "-lluawait.net", "-e", "print(_G['luawait.net'] == require 'luawait.net')" }))
  end)

  it("knows async in -e, and leaves the globals of scripts as they are", function()
    assert.equal("table\n", output({ "-e", "print(type(async))" }))
    assert.equal("nil\n", output({ "-" }, { input = "print(async)" }))
  end)

  it("runs standard input, with `-` or where nothing else is to be run", function()
    assert.equal("2\ta\t-\n", output({ "-", "a", "b" }, { input = "print(select('#', ...), (...), arg[0])" }))
    assert.equal("0\n", output({}, { input = "#!/usr/bin/env luawait\nprint(select('#', ...))" }))
    assert.equal("0\n", output({ "--debug" }, { input = "print(select('#', ...))" }))
  end)

  it("ends the options at --", function()
    local result = command.run({ "--", "-e" })
    assert.equal(1, result.status)
    assert.matches("cannot open -e", result.stderr, 1, true)
  end)

  it("sets debug mode", function()
    local code = "local t = os.clock() repeat until os.clock() - t > 0.15"
    assert.equal("", command.run({ "-e", code }).stderr)
    assert.matches("without waiting", command.run({ "--debug", "-e", code }).stderr, 1, true)
  end)

  it("prints its version and its help", function()
    local version = output({ "--version" })
    assert.matches("^luawait " .. async._VERSION:gsub("%p", "%%%0") .. " %(Lua 5%.4, libuv %d+%.%d+%.%d+%)\n$", version)
    assert.equal(version, output({ "-v" }))
    assert.equal(version .. "1\n", output({ "-v", "-e", "print(1)" }))
    assert.matches("usage: luawait [options] [script [args]]", output({ "--help" }), 1, true)
    assert.equal(output({ "--help" }), output({ "-h" }))
  end)

  it("ends with status 2 where it was called wrongly", function()
    for _, case in ipairs({
      { { "-x" }, "unrecognized option '-x'" }, { { "--debugger" }, "unrecognized option '--debugger'" },
      { { "-e" }, "'-e' needs an argument" }, { { "-i", "-l" }, "'-l' needs an argument" },
    }) do
      local result = command.run(case[1])
      assert.same({ 2, "" }, { result.status, result.stdout })
      assert.equal("luawait: " .. case[2], result.stderr:match("^[^\n]*"))
      assert.matches("\nusage: ", result.stderr, 1, true)
    end
  end)

  it("ends with the status that a script gives os.exit", function()
    assert.equal(7, command.run({ "-e", "os.exit(7)" }).status)
    assert.equal(0, command.run({ "-e", "async.create_task(function() end) os.exit(true, true)" }).status)
    assert.equal(3, command.run({ "-e", "async.create_task(function() os.exit(3) end) async.sleep(10)" }).status)
  end)

  it("ends with status 1 and a traceback of the script alone when that raises", function()
    local path, _ <close> = script("local function inner() error('boom') end\nrequire 'luawait'.sleep(0)\ninner()")
    local result = command.run({ path })
    assert.equal(1, result.status)
    assert.equal(([[
luawait: PATH:1: boom
stack traceback:
	[C]: in function 'error'
	PATH:1: in local 'inner'
	PATH:3: in main chunk
]]):gsub("PATH", path), result.stderr)
  end)

  it("says what an error object is, and where it was raised", function()
    local result = command.run({ "-e", "local function f()\nerror(async.ValueError('bad')) end\nf()" })
    assert.equal(1, result.status)
    assert.equal([[
luawait: ValueError: bad
stack traceback:
	[C]: in function 'error'
	(command line):2: in local 'f'
	(command line):3: in main chunk
]], result.stderr)
    assert.matches("^luawait: DeadlockError: 1 task waits", command.run({ "-e", "async.Event():wait()" }).stderr)
    assert.matches("^luawait: CancelledError", command.run({ "-e",
      "async.current_task():cancel() async.sleep(1)" }).stderr)
  end)

  it("needs no traceback to say that a script cannot be read", function()
    local result = command.run({ "no/such.lua" })
    assert.equal(1, result.status)
    assert.matches("^luawait: cannot open no/such.lua[^\n]*\n$", result.stderr)
    result = command.run({ "-e", "x =" })
    assert.same({ 1, "luawait: (command line):1: unexpected symbol near <eof>\n" }, { result.status, result.stderr })
  end)

  it("closes the state at the end, also after an error", function()
    local code = "kept = setmetatable({}, {__gc = function() print('closed') end}) "
    assert.equal("closed\n", command.run({ "-e", code }).stdout)
    assert.equal("closed\n", command.run({ "-e", code .. "error('x')" }).stdout)
  end)

  it("ends with status 130 on Ctrl-C, says where the script was, and runs its cleanup", function()
    local code = [[
      local function wait()
        local _ <close> = setmetatable({}, {__close = function() print("cleaned up") end})
        print("go")
        async.sleep(100)
      end
      wait()]]
    local shown = command.type({ "-e", code }, { { "expect", "go\r\n" }, { "send", "\3" } }, { status = 130 })
    assert.equal("go\n^Ccleaned up\nluawait: interrupted at (command line):4\n", shown)
  end)

  it("ends on the second Ctrl-C where the script does not wait", function()
    local code = "print('go')\nwhile true do end"
    local shown = command.type({ "-e", code }, { { "expect", "go\r\n" }, { "interrupt", "interrupted" } },
      { status = 130 })
    assert.matches("luawait: interrupted at (command line):2\n", shown, 1, true)
  end)
end)

describe("bin/luawait", function()
  -- A folder for PATH, with a program `lua5.4` that runs this Lua, or that is no Lua: its path, removed at the end.
  local function folder_with(source)
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir %s"):format(folder)))
    -- what stands in front of the command there, if anything does
    os.execute(('ln -s "$(command -v timeout || command -v gtimeout)" %s'):format(folder))
    helpers.write_file(folder .. "/lua5.4", "#!/bin/sh\n" .. source)
    assert(os.execute(("chmod +x %s/lua5.4"):format(folder)))
    return folder, helpers.defer(function() os.execute("rm -r " .. folder) end)
  end

  it("finds Lua 5.4 on PATH where LUA is none", function()
    local folder, _ <close> = folder_with(([[PATH='%s' exec '%s' "$@"]]):format(os.getenv("PATH"),
      os.getenv("LUA") or "lua5.4"))
    local result = command.run({ "-e", "print(_VERSION)" }, { prefix = "env LUA=/none PATH=" .. folder })
    assert.same({ 0, "Lua 5.4\n", "" }, { result.status, result.stdout, result.stderr })
  end)

  it("says what is missing where there is no Lua 5.4", function()
    local folder, _ <close> = folder_with("echo Lua 5.1")
    local result = command.run({ "-v" }, { prefix = "env -u LUA PATH=" .. folder })
    assert.equal(1, result.status)
    assert.matches("luawait: no Lua 5.4 interpreter found", result.stderr, 1, true)
  end)

  it("works through a link, from anywhere", function()
    local link = os.tmpname()
    os.remove(link)
    local _ <close> = helpers.defer(function() os.remove(link) end)
    assert(os.execute(("ln -s \"$PWD/bin/luawait\" %s"):format(link)))
    local result = command.run({ "-e", "print(require('luawait')._VERSION)" },
      { path = link, prefix = "cd / && env -u LUA_PATH -u LUA_CPATH" })
    assert.same({ 0, async._VERSION .. "\n", "" }, { result.status, result.stdout, result.stderr })
  end)
end)
