-- The programs of examples/embed, run as their first comment says.
local embed = require "spec.support.embed"
local helpers = require "spec.support.helpers"

local function output(command)
  local text, code = embed.run(command)
  assert.are.equal(0, code, text)
  return text
end

local function with_script(source, fn)
  local path = os.tmpname()
  helpers.write_file(path, source)
  local text, code = embed.run("minimal " .. path)
  os.remove(path)
  return fn(text, code)
end

describe("examples/embed", function()
  it("has no program that is not tried here", function()
    local pipe <close> = assert(io.popen("cd examples/embed && ls *.c | tr '\\n' ' '"))
    assert.are.equal("async_function.c game_loop.c host_loop.c minimal.c plugins.c poll_loop.c ", pipe:read("a"))
  end)

  it("minimal.c runs a script that waits", function()
    with_script([[
      local async = require "luawait"
      local net = require "luawait.net"
      print(net ~= nil, async.gather(function() async.sleep(0.01) return 1 end, function() return 2 end))]],
      function(text, code)
        assert.are.equal("true\t1\t2\n", text)
        assert.are.equal(0, code)
      end)
  end)

  it("minimal.c tells of an error", function()
    with_script("luawait.sleep(0) error('it failed', 0)", function(text, code)
      assert.are.equal("it failed\n", text)
      assert.are.equal(1, code)
    end)
  end)

  it("minimal.c has 30 lines at most", function()
    local lines = select(2, helpers.read_file("examples/embed/minimal.c"):gsub("\n", ""))
    assert.is_true(lines <= 30)
  end)

  it("async_function.c waits for a thread while others go on", function()
    assert.are.equal("0a502cc5 2b1504c5\nthe others went on\n", output("async_function"))
  end)

  it("host_loop.c has the script beside its own timer and server", function()
    assert.are.equal("hello 1\thello 2\nthe timer ticked, the loop is empty\n", output("host_loop"))
  end)

  it("poll_loop.c waits in poll(2)", function()
    local expected = {}
    for i = 1, 3 do expected[i] = "the program has read: tick " .. i .. "\n" end
    assert.are.equal(table.concat(expected), output("poll_loop"))
  end)

  it("plugins.c stops those that go too far, and no others", function()
    local ends = {}
    for name, how in output("plugins"):gmatch("(%a+)%s+([^\n]+)") do ends[name] = how end
    assert.are.same({
      friend = "ok: the sum is 55",
      worker = "ok: worked 20 times",
      hog = "stopped by a limit: RuntimeError: memory limit exceeded (8000000)",
      endless = "stopped by a limit: RuntimeError: instruction limit exceeded (1000000)",
      crash = 'error: [string "crash"]:1: attempt to index a nil value (local \'nothing\')',
      forever = "cancelled: CancelledError",
    }, ends)
  end)

  -- How many frames are late, and how often a creature has its turn, depends on what else the machine does.
  it("game_loop.c has its frames, and the creatures their turns", function()
    local told = "^(%d+) frames, %d+ late; 500 creatures have made (%d+) moves\n$"
    local frames, moves = output("game_loop 120"):match(told)
    assert.are.equal("120", frames)
    assert.is_true(tonumber(moves) > 0)
  end)
end)
