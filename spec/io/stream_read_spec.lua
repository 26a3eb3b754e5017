local async = require "luawait"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local settle = helpers.settle
local run_pair, wait_until = support.run_pair, support.wait_until

--- Writes pieces one after another, each only when the one before it has arrived.
local function write_slowly(from, to, pieces)
  return async.create_task(function()
    local sent = to:statistics().bytes_read
    for _, piece in ipairs(pieces) do
      from:write(piece)
      sent = sent + #piece
      wait_until(function() return to:statistics().bytes_read == sent end)
    end
  end)
end

local function bytes_of(text)
  local bytes = {}
  for byte in text:gmatch(".") do bytes[#bytes + 1] = byte end
  return bytes
end

--- Lets `count` bytes arrive in the buffer of a stream that somebody has read from before.
local function let_arrive(stream, count)
  wait_until(function() return stream:statistics().buffered == count end)
end

--- Has libuv read into the stream from here on: it begins with the first read that waits.
local function start_reading(stream)
  local task = async.create_task(function() stream:read() end)
  settle()
  task:cancel()
  settle()
end

describe("Stream.read", function()
  it("gives what has come", function()
    run_pair(function(client, server)
      client:write("hello")
      assert.equal("hello", server:read())
      client:write("again")
      assert.equal("again", server:read())
    end)
  end)

  it("gives at most n bytes and keeps the rest", function()
    run_pair(function(client, server)
      client:write("hello")
      assert.equal("h", server:read(1))
      assert.equal("el", server:read(2))
      assert.equal("lo", server:read(100))
    end)
  end)

  it("waits for the first byte only", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return server:read(1000) end)
      settle()
      assert.equal("waiting", reader:state())
      client:write("x")
      assert.equal("x", async.await(reader))
    end)
  end)

  it("gives nil at the end, again and again", function()
    run_pair(function(client, server)
      client:write("last")
      client:shutdown()
      assert.equal("last", server:read())
      for _ = 1, 3 do assert.is_nil(server:read()) end
      assert.is_nil(server:read(10))
    end)
  end)

  it("goes on giving what came before the end", function()
    run_pair(function(client, server)
      client:write("abc")
      client:shutdown()
      start_reading(server)
      let_arrive(server, 3)
      assert.equal("a", server:read(1))
      assert.equal("bc", server:read())
      assert.is_nil(server:read())
    end)
  end)

  it("passes every byte value", function()
    run_pair(function(client, server)
      local all = {}
      for i = 0, 255 do all[#all + 1] = string.char(i) end
      local text = table.concat(all)
      client:write(text)
      assert.equal(text, server:read_exactly(256))
    end)
  end)

  it("raises the error of a reset connection, after the bytes that came before it", function()
    run_pair(function(client, server)
      client:write("before")
      start_reading(server)
      let_arrive(server, 6)
      support.reset_by(client, server)
      wait_until(function() return failure(server.read_exactly, server, 7) ~= nil end)
      assert.equal("before", server:read())
      local err = failure(server.read, server)
      assert.equal("OSError", err.name)
      assert.equal("ECONNRESET", err.code)
      assert.equal("read", err.syscall)
      assert.is_true(err.errno > 0)
      assert.matches("^127%.0%.0%.1:%d+$", err.address)
      assert.matches("^OSError: read 127%.0%.0%.1:%d+: .*%(ECONNRESET%)$", tostring(err))
      assert.equal("ECONNRESET", failure(server.read, server).code)
    end)
  end)

  it("says what a task waits for", function()
    run_pair(function(_, server)
      local reader = async.create_task(function() return server:read() end)
      settle()
      assert.matches("^data from 127%.0%.0%.1:%d+", reader:waiting_on())
      reader:cancel()
    end)
  end)

  it("refuses bad arguments", function()
    run_pair(function(_, server)
      assert.matches("bad argument #1 to 'read' %(positive integer expected, got 0%)",
        failure_text(function() server:read(0) end))
      assert.matches("got %-1", failure_text(function() server:read(-1) end))
      assert.matches("number expected, got string", failure_text(function() server:read("x") end))
      assert.matches("no integer representation", failure_text(function() server:read(1.5) end))
      assert.matches("stream expected, got string", failure_text(server.read, "x"))
    end)
  end)

  it("is refused outside a task", function()
    run_pair(function(_, server)
      local said = async.Future()
      async.call_soon(function() said:set_result(failure_text(server.read, server)) end)
      assert.matches("RuntimeError: .*outside a task", async.await(said))
    end)
  end)
end)

describe("Two readers", function()
  it("are one too many", function()
    run_pair(function(client, server)
      local first = async.create_task(function() return server:read() end)
      settle()
      for _, method in ipairs({ "read", "read_line", "read_all" }) do
        local err = failure(server[method], server)
        assert.equal("RuntimeError", err.name)
        assert.matches("another task is reading", err.message)
      end
      assert.equal("RuntimeError", failure_kind(server.read_exactly, server, 1))
      assert.equal("RuntimeError", failure_kind(server.read_until, server, "x"))
      client:write("for the first")
      assert.equal("for the first", async.await(first))
      client:write("for me")
      assert.equal("for me", server:read())
    end)
  end)

  it("do not rob one that was woken and has not run yet", function()
    run_pair(function(client, server)
      local first = async.create_task(function() return server:read() end)
      settle()
      local seen = {}
      client:write("data")
      repeat
        local ok, got = pcall(server.read, server)
        seen[#seen + 1] = ok and got or got.name
        async.sleep(0)
      until first:done()
      for _, outcome in ipairs(seen) do assert.equal("RuntimeError", outcome) end
      assert.equal("data", first:result())
    end)
  end)

  it("may follow each other", function()
    run_pair(function(client, server)
      client:write("1", "2", "3")
      local got = {}
      for i = 1, 3 do
        async.await(async.create_task(function() got[i] = server:read_exactly(1) end))
      end
      assert.same({ "1", "2", "3" }, got)
    end)
  end)
end)

describe("A cancelled read", function()
  local methods = {
    read_exactly = { 10 }, read_until = { "|" }, read_line = {}, read_all = {},
  }

  for method, arguments in pairs(methods) do
    it("loses no byte: " .. method, function()
      run_pair(function(client, server)
        local reader = async.create_task(function() return server[method](server, table.unpack(arguments)) end)
        settle()
        client:write("12345")
        let_arrive(server, 5)
        assert.is_true(reader:cancel())
        assert.equal("CancelledError", failure_kind(async.await, reader))
        assert.equal(0, server:statistics().readers)
        client:write("67890")
        assert.equal("1234567890", server:read_exactly(10))
      end)
    end)
  end

  it("leaves the stream to the next reader", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return server:read() end)
      settle()
      reader:cancel()
      assert.equal("CancelledError", failure_kind(async.await, reader))
      client:write("still here")
      assert.equal("still here", server:read())
    end)
  end)

  it("loses no byte when the data came in the same turn", function()
    run_pair(function(client, server)
      local rounds, got = 200, {}
      for i = 1, rounds do
        local reader = async.create_task(function() got[#got + 1] = server:read() end)
        async.sleep(0)
        client:write(("%03d"):format(i))
        async.sleep(0)
        reader:cancel()
        pcall(async.await, reader)
      end
      client:shutdown()
      got[#got + 1] = server:read_all()
      local text = table.concat(got)
      assert.equal(3 * rounds, #text)
      for i = 1, rounds do assert.equal(("%03d"):format(i), text:sub(3 * i - 2, 3 * i)) end
    end)
  end)

  it("ends with the deadline of a timeout", function()
    run_pair(function(client, server)
      assert.equal("TimeoutError", failure_kind(async.timeout, 0.01, function() return server:read() end))
      client:write("late")
      assert.equal("late", server:read())
    end)
  end)
end)

describe("Stream.read_exactly", function()
  it("waits until all is there", function()
    run_pair(function(client, server)
      write_slowly(client, server, bytes_of("0123456789"))
      assert.equal("01234", server:read_exactly(5))
      assert.equal("56789", server:read_exactly(5))
    end)
  end)

  it("wakes its task only once", function()
    run_pair(function(client, server)
      local reader = async.create_task(function() return server:read_exactly(6) end)
      write_slowly(client, server, bytes_of("12345"))
      wait_until(function() return server:statistics().buffered == 5 end)
      assert.equal("waiting", reader:state())
      client:write("6")
      assert.equal("123456", async.await(reader))
    end)
  end)

  it("raises IncompleteReadError when the stream ends before", function()
    run_pair(function(client, server)
      client:write("only")
      client:shutdown()
      local err = failure(server.read_exactly, server, 10)
      assert.equal("IncompleteReadError", err.name)
      assert.equal("only", err.partial)
      assert.equal(10, err.expected)
      assert.equal("the stream ended after 4 of 10 bytes", err.message)
      err = failure(server.read_exactly, server, 1)
      assert.equal("", err.partial)
      assert.equal(1, err.expected)
      assert.is_nil(server:read())
    end)
  end)

  it("reads many megabytes in one go", function()
    run_pair(function(client, server)
      local text = support.noise(8 * 1024 * 1024)
      local writer = async.create_task(function() client:write(text) end)
      assert.is_true(text == server:read_exactly(#text))
      async.await(writer)
    end)
  end)

  it("takes no memory for what was only announced", function()
    run_pair(function(client, server)
      client:write("x")
      client:shutdown()
      assert.equal("x", failure(server.read_exactly, server, math.maxinteger).partial)
    end)
  end)

  it("refuses bad arguments", function()
    run_pair(function(_, server)
      assert.matches("bad argument #1 to 'read_exactly' %(number expected, got n", failure_text(function()
        server:read_exactly()
      end))
      assert.matches("positive integer expected", failure_text(function() server:read_exactly(0) end))
    end)
  end)
end)

describe("Stream.read_until", function()
  it("gives the bytes with the separator", function()
    run_pair(function(client, server)
      client:write("one, two, three")
      assert.equal("one, ", server:read_until(", "))
      assert.equal("two, ", server:read_until(", "))
      assert.equal("three", server:read_exactly(5))
    end)
  end)

  it("finds a separator that comes in pieces", function()
    run_pair(function(client, server)
      write_slowly(client, server, bytes_of("head\r\n\r\nbody"))
      assert.equal("head\r\n\r\n", server:read_until("\r\n\r\n"))
      assert.equal("body", server:read_exactly(4))
    end)
  end)

  it("finds one that begins within a false start", function()
    run_pair(function(client, server)
      write_slowly(client, server, bytes_of("aaabaaab!"))
      assert.equal("aaab", server:read_until("aaab"))
      assert.equal("aaab", server:read_until("aaab"))
      assert.equal("!", server:read_exactly(1))
      write_slowly(client, server, bytes_of("abababac"))
      assert.equal("abababac", server:read_until("abac"))
    end)
  end)

  it("finds one whatever the limit when the data before it keep to it", function()
    run_pair(function(client, server)
      client:write("12345;")
      assert.equal("12345;", server:read_until(";", 5))
    end)
  end)

  it("raises LimitOverrunError and keeps the data", function()
    run_pair(function(client, server)
      client:write("123456;rest")
      local err = failure(server.read_until, server, ";", 5)
      assert.equal("LimitOverrunError", err.name)
      assert.equal(5, err.limit)
      assert.matches("longer than 5 bytes", err.message)
      assert.equal("123456;", server:read_until(";", 6))
      client:write("no separator at all")
      assert.equal("LimitOverrunError", failure_kind(server.read_until, server, ";", 10))
      client:shutdown()
      assert.equal("restno separator at all", server:read_all())
    end)
  end)

  it("has a limit of 64 KiB", function()
    run_pair(function(client, server)
      async.create_task(function() client:write(("x"):rep(65536), ";", ("y"):rep(65537), ";") end)
      assert.equal(65537, #server:read_until(";"))
      assert.equal("LimitOverrunError", failure_kind(server.read_until, server, ";"))
    end)
  end)

  it("raises IncompleteReadError when the stream ends without it", function()
    run_pair(function(client, server)
      client:write("no end")
      client:shutdown()
      local err = failure(server.read_until, server, ";")
      assert.equal("IncompleteReadError", err.name)
      assert.equal("no end", err.partial)
      assert.is_nil(err.expected)
      assert.equal("", failure(server.read_until, server, ";").partial)
    end)
  end)

  it("looks at every byte once", function()
    run_pair(function(client, server)
      -- 4 MiB without the separator, which a search from the start for each piece would read 64 times over
      local size = 4 * 1024 * 1024
      local writer = async.create_task(function() client:write(("a"):rep(size), "b") end)
      assert.equal(size + 1, #server:read_until("b", size))
      async.await(writer)
    end)
  end)

  it("takes separators with zeros", function()
    run_pair(function(client, server)
      client:write("a\0b\0\0c")
      assert.equal("a\0b\0\0", server:read_until("\0\0"))
    end)
  end)

  it("refuses bad arguments", function()
    run_pair(function(_, server)
      assert.matches("bad argument #1 to 'read_until' %(the separator is empty%)",
        failure_text(function() server:read_until("") end))
      assert.matches("string expected", failure_text(function() server:read_until({}) end))
      assert.matches("bad argument #2 to 'read_until' %(positive integer", failure_text(function()
        server:read_until("x", 0)
      end))
    end)
  end)
end)

describe("Stream.read_line", function()
  it("takes LF and CRLF off", function()
    run_pair(function(client, server)
      client:write("unix\nweb\r\n\n\r\nlone\rcr\n")
      for _, line in ipairs({ "unix", "web", "", "", "lone\rcr" }) do assert.equal(line, server:read_line()) end
    end)
  end)

  it("takes a CR that came before its LF did", function()
    run_pair(function(client, server)
      write_slowly(client, server, { "line\r", "\nnext\n" })
      assert.equal("line", server:read_line())
      assert.equal("next", server:read_line())
    end)
  end)

  it("gives a last line without an end, then nil", function()
    run_pair(function(client, server)
      client:write("first\nlast")
      client:shutdown()
      assert.equal("first", server:read_line())
      assert.equal("last", server:read_line())
      assert.is_nil(server:read_line())
    end)
  end)

  it("gives nil at once when there is nothing", function()
    run_pair(function(client, server)
      client:shutdown()
      assert.is_nil(server:read_line())
    end)
  end)

  it("counts the line without its end against the limit", function()
    run_pair(function(client, server)
      client:write("12345\r\n12345\n123456\n")
      assert.equal("12345", server:read_line(5))
      assert.equal("12345", server:read_line(5))
      assert.equal("LimitOverrunError", failure_kind(server.read_line, server, 5))
      assert.equal("123456", server:read_line(6))
    end)
  end)

  it("raises LimitOverrunError before the line ends, as soon as it is too long", function()
    run_pair(function(client, server)
      client:write("1234567")
      local err = failure(server.read_line, server, 5)
      assert.equal("LimitOverrunError", err.name)
      assert.equal("a line is longer than 5 bytes", err.message)
    end)
  end)

  it("does not give up on a line of the limit whose CR has come", function()
    run_pair(function(client, server)
      write_slowly(client, server, { "12345\r", "\n" })
      assert.equal("12345", server:read_line(5))
    end)
  end)
end)

describe("Stream.lines", function()
  it("iterates to the end", function()
    run_pair(function(client, server)
      write_slowly(client, server, { "a\nb", "b\n", "\n", "last" })
      local writer = async.create_task(function()
        wait_until(function() return server:statistics().bytes_read == 10 end)
        client:shutdown()
      end)
      local lines = {}
      for line in server:lines() do lines[#lines + 1] = line end
      assert.same({ "a", "bb", "", "last" }, lines)
      async.await(writer)
    end)
  end)

  it("can be left and taken up again", function()
    run_pair(function(client, server)
      client:write("1\n2\n3\n4\n")
      client:shutdown()
      for line in server:lines() do
        if line == "2" then break end
      end
      assert.equal("3", server:read_line())
      local next_line = server:lines()
      assert.equal("4", next_line())
      assert.is_nil(next_line())
    end)
  end)

  it("has a limit", function()
    run_pair(function(client, server)
      client:write("short\nmuch too long\n")
      local next_line = server:lines(5)
      assert.equal("short", next_line())
      assert.equal("LimitOverrunError", failure_kind(next_line))
      assert.matches("positive integer", failure_text(function() server:lines(0) end))
    end)
  end)
end)

describe("Stream.read_all", function()
  it("gives everything up to the end", function()
    run_pair(function(client, server)
      write_slowly(client, server, { "a", "bc", "def" })
      async.create_task(function()
        wait_until(function() return server:statistics().bytes_read == 6 end)
        client:shutdown()
      end)
      assert.equal("abcdef", server:read_all())
      assert.equal("", server:read_all())
      assert.is_nil(server:read())
    end)
  end)

  it("takes many megabytes", function()
    run_pair(function(client, server)
      local text = support.noise(8 * 1024 * 1024 + 17)
      async.create_task(function()
        client:write(text)
        client:shutdown()
      end)
      assert.is_true(text == server:read_all())
    end)
  end)

  it("raises LimitOverrunError for more than its limit, and keeps the data", function()
    run_pair(function(client, server)
      client:write("123456")
      assert.equal("LimitOverrunError", failure_kind(server.read_all, server, 5))
      client:shutdown()
      assert.equal("123456", server:read_all(6))
    end)
  end)

  it("raises the error of a reset connection and keeps what had come", function()
    run_pair(function(client, server)
      client:write("partial")
      start_reading(server)
      let_arrive(server, 7)
      support.reset_by(client, server)
      assert.equal("ECONNRESET", failure(server.read_all, server).code)
      assert.equal("partial", server:read())
    end)
  end)
end)

describe("The buffer of a stream", function()
  it("stops filling while nobody reads, and starts again", function()
    run_pair(function(client, server)
      local text = support.noise(4 * 1024 * 1024)
      start_reading(server)
      local writer = async.create_task(function()
        client:write(text)
        client:shutdown()
      end)
      wait_until(function() return server:statistics().buffered >= 256 * 1024 end)
      helpers.settle()
      local held = server:statistics().buffered
      assert.is_true(held < 1024 * 1024)
      assert.is_true(text == server:read_all())
      async.await(writer)
    end)
  end)

  it("gives out one piece after another in order, whatever their sizes", function()
    run_pair(function(client, server)
      local text = support.noise(2 * 1024 * 1024)
      async.create_task(function()
        client:write(text)
        client:shutdown()
      end)
      local parts, sizes = {}, { 1, 7, 100, 4096, 5000, 65536, 70000, 200000 }
      for i = 1, math.huge do
        local part
        if i % 3 == 0 then
          local ok, got = pcall(server.read_exactly, server, sizes[i % #sizes + 1])
          part = ok and got or got.partial
        else
          part = server:read(sizes[i % #sizes + 1])
        end
        if part == nil or part == "" then break end
        parts[#parts + 1] = part
      end
      assert.is_true(text == table.concat(parts))
    end)
  end)

  it("does not let a reader that always finds data starve the others", function()
    run_pair(function(client, server)
      local ticks, lines = 0, 0
      local ticker = async.create_task(function()
        while true do
          async.sleep(0)
          ticks = ticks + 1
        end
      end)
      async.create_task(function()
        for _ = 1, 100 do client:write(("x\n"):rep(10000)) end
        client:shutdown()
      end)
      for _ in server:lines() do lines = lines + 1 end
      ticker:cancel()
      assert.equal(1000000, lines)
      assert.is_true(ticks > 3)
    end)
  end)
end)
