-- Streams on pipes that a program was given, and on what is no socket in general.
local helpers = require "spec.support.helpers"


--- Runs a Lua program between two shell commands; `stdin` and `stdout` open its ends, which are pipes. Returns what the
-- last command prints, and what the program says on stderr.
local function piped(before, source, after)
  local script, err = os.tmpname(), os.tmpname()
  local _ <close> = helpers.defer(function()
    os.remove(script)
    os.remove(err)
  end)
  helpers.write_file(script, [[
local async = require "luawait"
local core = require "luawait.core"
local function stdin() return core.net.open_pipe(0) end
local function stdout() return core.net.open_pipe(1) end
local function say(...) io.stderr:write(table.concat({ ... }, " "), "\n") end
local function fails(fn, ...) return select(2, pcall(fn, ...)) end
async.run(function()
]] .. source .. "\nend)")
  local pipe <close> = assert(io.popen(("%s | timeout 60 '%s' %s 2>%s | %s"):format(before,
    os.getenv("LUA") or "lua5.4", script, err, after)))
  local output = pipe:read("a")
  return output, helpers.read_file(err)
end

describe("A stream on a pipe", function()
  it("reads what comes through it, to the end", function()
    local _, said = piped("(printf 'one\\ntwo\\r\\n'; sleep 0.05; printf 'three')", [[
      local stream <close> = stdin()
      say(stream:read_line(), stream:read_until("\n"):sub(1, 3), stream:read_all(), tostring(stream:read()))
    ]], "cat")
    assert.equal("one two three nil\n", said)
  end)

  it("reads megabytes", function()
    local _, said = piped("head -c 5000000 /dev/zero", [[
      say(#stdin():read_all())
    ]], "cat")
    assert.equal("5000000\n", said)
  end)

  it("can have its read cancelled, and loses nothing", function()
    local go = os.tmpname()
    os.remove(go)
    local _, said = piped(("(until [ -e %s ]; do sleep 0.01; done; echo late)"):format(go), ([[
      local stream <close> = stdin()
      say(fails(async.timeout, 0.01, stream.read, stream).name)
      io.open(%q, "w"):close()
      say(stream:read_line())
    ]]):format(go), "cat")
    os.remove(go)
    assert.equal("TimeoutError\nlate\n", said)
  end)

  it("writes more than fits, waiting for the reader", function()
    local output, said = piped("true", [[
      local stream <close> = stdout()
      for i = 1, 100 do stream:write(("x"):rep(50000), ("%d\n"):format(i)) end
      stream:flush()
      say(stream:statistics().queued, stream:statistics().bytes_written)
    ]], "(sleep 0.1; wc -lc | tr -s ' ')")
    assert.equal("0 5000292\n", said)
    assert.matches("^ ?100 5000292\n$", output)
  end)

  it("sends what is queued when it is closed", function()
    local output = piped("true", [[
      local stream = stdout()
      async.call_soon(function()
        stream:write(("x"):rep(1000000))
        stream:close()
      end)
      while tostring(stream) ~= "<Stream pipe closed>" do async.sleep(0.01) end
    ]], "(sleep 0.1; wc -c | tr -d ' ')")
    assert.equal("1000000\n", output)
  end)

  it("ends for the reader with shutdown, which closes it", function()
    local output, said = piped("true", [[
      local stream = stdout()
      stream:write(("x"):rep(1000000))
      stream:shutdown()
      say(tostring(stream:is_closing()), tostring(fails(stream.write, stream, "more")))
    ]], "(sleep 0.1; wc -c | tr -d ' ')")
    assert.equal("1000000\n", output)
    assert.equal("true RuntimeError: stream is closed\n", said)
  end)

  it("that nobody reads any more is an OSError of write, and no SIGPIPE", function()
    local _, said = piped("true", [[
      local stream = stdout()
      local err
      repeat
        async.sleep(0.01)
        err = fails(stream.write, stream, ("x"):rep(100000))
      until err
      say(err.name, err.code, tostring(err))
      say(tostring(fails(stream.write, stream, "x").code), fails(stream.flush, stream).code)
    ]], "true")
    assert.equal("OSError EPIPE OSError: write a pipe: broken pipe (EPIPE)\nEPIPE EPIPE\n", said)
  end)

  it("goes one way only", function()
    local _, said = piped("echo in", [[
      local input <close> = stdin()
      local output <close> = stdout()
      say(tostring(fails(input.write, input, "x")))
      say(tostring(fails(output.read, output)))
      input:shutdown()
      say(input:read_line())
    ]], "cat")
    assert.equal([[
RuntimeError: the stream is for reading only
RuntimeError: the stream is for writing only
in
]], said)
  end)

  it("has no address, and no options of TCP", function()
    local _, said = piped("true", [[
      local stream <close> = stdin()
      say(tostring(stream), select("#", stream:peername()), select("#", stream:sockname()))
      say(tostring(fails(stream.set_nodelay, stream, true)))
      say(tostring(fails(stream.set_keepalive, stream, true)))
      local reader = async.create_task(function() return stream:read_exactly(1) end)
      async.sleep(0)
      say(reader:waiting_on() or "nothing")
      say(tostring(fails(async.await, reader)))
    ]], "cat")
    assert.equal([[
<Stream pipe open> 0 0
RuntimeError: set_nodelay is for TCP connections, this is a pipe
RuntimeError: set_keepalive is for TCP connections, this is a pipe
data from a pipe (0 bytes so far)
IncompleteReadError: the stream ended after 0 of 1 bytes
]], said)
  end)
end)

describe("A descriptor that is no pipe", function()
  it("is an OSError", function()
    assert.equal([[
open a pipe: invalid argument (EINVAL)
open a pipe: bad file descriptor (EBADF)
descriptor expected, got -1
]], helpers.child_output([[
      local open = require "luawait.core".net.open_pipe
      async.run(function()
        print(select(2, pcall(open, 0)).message) -- /dev/null
        print(select(2, pcall(open, 999)).message)
        print((select(2, pcall(open, -1)):match("%((.-)%)")))
      end)
    ]]))
  end)
end)
