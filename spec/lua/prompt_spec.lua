local complete = require "luawait.command.complete"
local command = require "spec.support.command"
local helpers = require "spec.support.helpers"

-- luawait -i with these lines on standard input, which is no terminal: what it printed, without the prompts.
local function feed(lines, args)
  local input = "_PROMPT, _PROMPT2 = '', ''\n" .. table.concat(lines, "\n") .. "\n"
  local result = command.run(args or { "-i" }, { input = input })
  assert.same({ 0, "> " }, { result.status, result.stdout:sub(1, 2) })
  return result.stdout:sub(3), result.stderr
end

describe("the prompt", function()
  it("prints the values of expressions, with or without `=`", function()
    local stdout, stderr = feed({ "1 + 1", "= 'a', nil, 2", "nil", "", "(function() end)()" })
    assert.equal("2\na\tnil\t2\nnil\n", stdout)
    assert.equal("", stderr)
  end)

  it("runs statements, which share the globals but not the locals", function()
    assert.equal("1\tnil\n", (feed({ "x = 1", "local y = 2", "x, y" })))
  end)

  it("goes on reading until a statement is complete", function()
    assert.equal("1\n2\nab\n", (feed({ "for i = 1, 2 do", "  print(i)", "end", "('a'", "..", "'b'", ")" })))
    local stdout, stderr = feed({ "1", "while true do" })
    assert.equal("1\n", stdout)
    assert.matches("^stdin:1: 'end' expected near <eof>\n$", stderr)
  end)

  it("runs the last line without a line end too", function()
    assert.equal("> 3\n> ", command.run({ "-i" }, { input = "1+2" }).stdout)
  end)

  it("waits at the top level, each input in a task of its own", function()
    assert.equal("slept\nfalse\n", (feed({ "async.sleep(0.001, 'slept')", "task = async.current_task()",
      "task == async.current_task()" })))
  end)

  it("says what went wrong, with the user's part of the traceback, and goes on", function()
    local stdout, stderr = feed({ "error('one')", "function f()", "async.sleep(0) error(async.ValueError('two')) end",
      "f() print('not reached')", "x +* 1", "\27[A", "print('on')" })
    assert.equal("on\n", stdout)
    assert.equal([[
stdin:1: one
stack traceback:
	[C]: in function 'error'
	stdin:1: in main chunk
ValueError: two
stack traceback:
	[C]: in function 'error'
	stdin:2: in function 'f'
	stdin:1: in main chunk
stdin:1: syntax error near '+'
attempt to load a binary chunk (mode is 't')
]], stderr)
  end)

  it("keeps no task that nothing can wake, and the others", function()
    local stdout, stderr = feed({ "kept = async.create_task(function() async.Event():wait() end, {name = 'kept'})",
      "async.Lock():acquire() async.Event():wait()", "async.sleep(0)", "#async.all_tasks(), kept:state()" })
    assert.matches("^DeadlockError: 2 tasks wait, and nothing can wake them:\n", stderr)
    assert.equal("2\twaiting\n", stdout)
  end)

  it("lets tasks go on from one input to the next, and cancels them at the end", function()
    local stdout = feed({
      "task = async.create_task(function() local _ <close> = setmetatable({}, {__close = function() print('end') end})"
        .. " async.sleep(0) print('begun') async.sleep(100) end) print('made')",
      "async.sleep(0.001)", "task:state()" })
    assert.equal("made\nbegun\nwaiting\nend\n", stdout)
  end)

  it("comes after a script with -i, with the script's globals and tasks, also when that fails", function()
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, "x = ... task = require 'luawait'.create_task(error) error('oh')")
    local stdout, stderr = feed({ "x, arg[0] == ..., task:state()" }, { "-i", path, "value" })
    assert.equal("value\tfalse\tfailed\n", stdout)
    assert.matches("^luawait: .*: oh\nstack traceback:\n", stderr)
  end)

  it("shows _PROMPT and _PROMPT2", function()
    assert.equal("> 1$ 2$ x\n1$ ", command.run({ "-i" },
      { input = "_PROMPT, _PROMPT2 = '1$ ', '2$ '\nprint(\n'x')\n" }).stdout)
  end)
end)

local has_libedit = package.searchpath("luawait.libedit", package.cpath) ~= nil

for editor, terminal in pairs({ ["plain lines"] = "dumb", libedit = "xterm" }) do
  describe("the prompt in a terminal, with " .. editor .. ",", function()
    -- What the terminal shows after these steps and Ctrl-D.
    local function type_in(steps, history)
      if editor == "libedit" and not has_libedit then return pending("built without libedit") end
      steps[#steps + 1] = { "send", "\4" }
      return command.type({}, steps, { prefix = ("LUAWAIT_HISTORY='%s' TERM=%s"):format(history or "", terminal) })
    end

    it("greets, prints values, and leaves at Ctrl-D", function()
      type_in({ { "expect", "luawait " }, { "expect", "Ctrl-D leaves\r\n> " }, { "send", "40 + 2\r" },
        { "expect", "\r\n42\r\n> " } })
    end)

    it("lets tasks go on while it waits for input", function()
      type_in({
        { "expect", "> " },
        { "send", "async.create_task(function() for i = 1, 3 do async.sleep(0.02) print('tick', i) end end)\r" },
        { "expect", "tick\t3\r\n" }, { "send", "#async.all_tasks()\r" }, { "expect", "\r\n1\r\n> " },
      })
    end)

    it("reads more lines of a statement", function()
      type_in({ { "expect", "> " }, { "send", "print(\r" }, { "expect", "\r\n>> " }, { "send", "6 * 7)\r" },
        { "expect", "\r\n42\r\n> " } })
    end)

    it("goes on with a line that was emptied", function()
      type_in({ { "expect", "> " }, { "send", "x" }, { "expect", "x" }, { "send", "\127" }, { "send", "1 + 1\r" },
        { "expect", "\r\n2\r\n> " } })
    end)

    it("ends when the terminal has gone, also where SIGHUP is ignored", function()
      if editor == "libedit" and not has_libedit then return pending("built without libedit") end
      command.type({ "-c", ("trap '' HUP; LUAWAIT_HISTORY= TERM=%s exec bin/luawait"):format(terminal) },
        { { "expect", "\r\n> " }, { "hangup", "" } }, { path = "/bin/sh" })
    end)

    it("drops the line at Ctrl-C", function()
      type_in({ { "expect", "> " }, { "send", "x = 5 dropped" }, { "expect", "dropped" }, { "send", "\3" },
        { "expect", "\r\n> " }, { "send", "print(\r" }, { "expect", "\r\n>> " }, { "send", "\3" },
        { "expect", "\r\n> " }, { "send", "x\r" }, { "expect", "\r\nnil\r\n> " } })
    end)

    it("cancels what runs at Ctrl-C, and goes on", function()
      type_in({ { "expect", "> " }, { "send", "print('g'..'o') async.sleep(100)\r" }, { "expect", "go\r\n" },
        { "send", "\3" }, { "expect", "interrupted at stdin:1\r\n> " }, { "send", "1 + 1\r" },
        { "expect", "\r\n2\r\n> " } })
    end)

    it("interrupts at the second Ctrl-C what does not wait, and goes on", function()
      type_in({ { "expect", "> " }, { "send", "print('g'..'o') while true do end\r" }, { "expect", "go\r\n" },
        { "interrupt", "interrupted at stdin:1\r\n> " }, { "send", "1 + 1\r" }, { "expect", "\r\n2\r\n> " } })
    end)

    it("leaves the terminal to what runs, and as it was at the end", function()
      if editor == "libedit" and not has_libedit then return pending("built without libedit") end
      local shown = command.type({ "-c", "stty -g; TERM=" .. terminal .. " LUAWAIT_HISTORY= bin/luawait; stty -g" }, {
        { "expect", "\r\n> " }, { "send", "print('g'..'o') print(io.read())\r" }, { "expect", "go\r\n" },
        { "send", "typed\r" }, { "expect", "typed\r\ntyped\r\n> " },
        { "send", "os.execute('stty -g')\r" }, { "expect", "\r\ntrue\texit\t0\r\n> " },
        { "send", "\4" },
      }, { path = "/bin/sh" })
      local modes = {}
      for mode in shown:gmatch("%f[%x]%x+:[%x:]+") do modes[#modes + 1] = mode end
      assert.same({ modes[1], modes[1], modes[1] }, modes)
    end)
  end)
end

describe("the prompt with libedit", function()
  local function type_in(steps, history)
    steps[#steps + 1] = { "send", "\4" }
    return command.type({}, steps, { prefix = ("LUAWAIT_HISTORY='%s' TERM=xterm"):format(history) })
  end

  it("edits the line, and keeps it from one time to the next", function()
    if not has_libedit then return pending("built without libedit") end
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    type_in({ { "expect", "> " }, { "send", "'secnd'\27[D\27[D\27[Do\r" }, { "expect", "\r\nsecond\r\n> " },
      { "send", "'é', 'ü'\27[D\127ä\r" }, { "expect", "\r\né\tä\r\n> " },
      { "send", "\27[A\27[A\r" }, { "expect", "\r\nsecond\r\n> " }, { "send", "os.exit()\r" } }, path)
    type_in({ { "expect", "> " }, { "send", "\27[A\27[A\r" }, { "expect", "\r\nsecond\r\n> " } }, path)
  end)

  it("keeps the lines at home, where nothing else is said", function()
    if not has_libedit then return pending("built without libedit") end
    local home = os.tmpname()
    os.remove(home)
    os.execute(("mkdir '%s'"):format(home))
    local _ <close> = helpers.defer(function() os.execute(("rm -r '%s'"):format(home)) end)
    local opts = { prefix = ("env -u LUAWAIT_HISTORY HOME='%s' TERM=xterm"):format(home) }
    command.type({}, { { "expect", "> " }, { "send", "'kept'\r" }, { "expect", "\r\nkept\r\n> " },
      { "send", "\4" } }, opts)
    assert.matches("'kept'", helpers.read_file(home .. "/.luawait_history"):gsub("\\047", "'"))
  end)

  it("completes names at Tab, and shows them where there are several", function()
    if not has_libedit then return pending("built without libedit") end
    type_in({ { "expect", "> " }, { "send", "async.current_t\t() ~= nil\r" }, { "expect", "\r\ntrue\r\n> " },
      { "send", "string.re\t" }, { "expect", "rep  reverse\r\n" }, { "send", "p('ab', 2)\r" },
      { "expect", "\r\nabab\r\n> " } }, "")
  end)
end)

describe("completion", function()
  local object = setmetatable({ own = 1, open = print, ["no name"] = 1 }, { __index = { other = print, _hidden = 1 } })

  local function completed(word)
    return { complete(word) }
  end

  before_each(function() rawset(_G, "spec_object", object) end)
  after_each(function() rawset(_G, "spec_object", nil) end)

  it("inserts what is certain, and tells the names that it could be", function()
    assert.same({ "ct", "spec_object" }, completed("spec_obje"))
    assert.same({ "", "open  other  own" }, completed("spec_object.o"))
    assert.same({ "", "open  other" }, completed("spec_object:o"))
    assert.same({ "er", "other" }, completed("spec_object.oth"))
    assert.same({ "", "_hidden  open  other  own" }, completed("spec_object."))
  end)

  it("knows the methods of userdata and strings, and the keywords", function()
    assert.same({ "", "read" }, completed("io.stdout:read"))
    assert.same({ "ction", "function" }, completed("fun"))
    rawset(_G, "spec_object", "text")
    assert.same({ "", "rep  reverse" }, completed("spec_object:re"))
  end)

  it("calls nothing, and finds nothing where there is nothing", function()
    rawset(_G, "spec_object", setmetatable({}, { __index = error, __pairs = error, __len = error }))
    for _, word in ipairs({ "spec_object.", "spec_object.a.b", "no_such_name", "no_such.", "a..b", "1x", "." , "" }) do
      assert.has_no.errors(function() complete(word) end)
    end
    assert.same({ "" }, completed("spec_object.x"))
    assert.same({ "" }, completed("no_such.x"))
  end)
end)
