package.path = "examples/?.lua;" .. package.path

local async = require "luawait"
local http = require "lib.http"

-- What the parser needs of a Stream, over a text that comes a few bytes at a time.
local Stub = {}
Stub.__index = Stub

local function stub(text, step)
  return setmetatable({ text = text, step = step or math.huge, position = 1 }, Stub)
end

function Stub:read(n)
  if self.position > #self.text then return nil end
  local data = self.text:sub(self.position, self.position + math.min(n, self.step) - 1)
  self.position = self.position + #data
  return data
end

function Stub:read_until(separator, limit)
  local from, to = self.text:find(separator, self.position, true)
  if (to or #self.text) - self.position >= limit then error(async.LimitOverrunError("too long")) end
  if not from then error(async.IncompleteReadError("the end came first")) end
  local line = self.text:sub(self.position, to)
  self.position = to + 1
  return line
end

function Stub:rest()
  return self.text:sub(self.position)
end

-- Reads a whole reply. Returns it, its body, and what is left of the text.
local function read(text, step, method)
  local stream, pieces = stub(text, step), {}
  local reply = http.read_head(stream)
  reply.trailers = http.read_body(stream, method or "GET", reply, function(data) pieces[#pieces + 1] = data end)
  return reply, table.concat(pieces), stream:rest()
end

local function failure(class, ...)
  local ok, err = pcall(read, ...)
  assert.is_false(ok)
  assert.is_true(async.errors.is(err, class), tostring(err))
  return err.message
end

local OK = "HTTP/1.1 200 OK\r\n"

describe("examples/lib/http: the head", function()
  it("is a status and headers", function()
    local reply = read("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-Empty:\r\nx-two: a\r\nX-TWO:\t b \r\n\r\n")
    assert.equal(404, reply.status)
    assert.equal("Not Found", reply.reason)
    assert.same({ ["content-length"] = "0", ["x-empty"] = "", ["x-two"] = "a, b" }, reply.headers)
  end)

  it("may have no reason, line feeds alone, or be of HTTP/1.0", function()
    assert.equal("", (read("HTTP/1.1 200\r\n\r\n")).reason)
    assert.equal("", (read("HTTP/1.1 200 \r\n\r\n")).reason)
    local reply, body = read("HTTP/1.0 200 OK\nContent-Length: 2\n\nhi")
    assert.equal(200, reply.status)
    assert.equal("hi", body)
  end)

  it("comes after interim replies", function()
    local reply, body = read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" .. OK .. "\r\nbody")
    assert.equal(200, reply.status)
    assert.equal("body", body)
    assert.is_nil(reply.headers.link)
  end)

  it("is refused when it is not HTTP/1", function()
    for _, line in ipairs({
      "220 ready", "HTTP/2 200", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1  200", "",
      "ICY 200 OK",
    }) do
      assert.equal(("not an HTTP/1 reply: \"%s\""):format(line), failure(http.ProtocolError, line .. "\r\n\r\n"))
    end
    assert.equal('not an HTTP/1 reply: "' .. ("?"):rep(40) .. '..."',
      failure(http.ProtocolError, ("\xff"):rep(99) .. "\n"))
  end)

  it("is refused with bad header lines", function()
    for _, line in ipairs({ "no colon", ": no name", "space : before", " folded: line", "bad\1name: x" }) do
      assert.matches("^headers: bad line ", failure(http.ProtocolError, OK .. "A: b\r\n" .. line .. "\r\n\r\n"))
    end
  end)

  it("is refused when it is too long", function()
    assert.equal("status line: a line longer than 8192 bytes", failure(http.ProtocolError, ("x"):rep(9000)))
    assert.equal("headers: a line longer than 8192 bytes",
      failure(http.ProtocolError, OK .. "A: " .. ("x"):rep(9000) .. "\r\n\r\n"))
    assert.equal("headers: more than 65536 bytes", failure(http.ProtocolError, OK .. ("Name: value\r\n"):rep(9000)))
    assert.equal("more than 10 interim replies", failure(http.ProtocolError, ("HTTP/1.1 100 Go\r\n\r\n"):rep(20)))
  end)

  it("is missed when the connection ends before it does", function()
    assert.equal("the connection ended without a reply", failure(http.TruncatedError, ""))
    assert.equal("the connection ended without a reply", failure(http.TruncatedError, "HTTP/1.1 200 OK"))
    assert.equal("the connection ended in the headers", failure(http.TruncatedError, OK .. "Content-Length: 1\r\n"))
    assert.equal("the connection ended without a reply", failure(http.TruncatedError, "HTTP/1.1 100 Go\r\n\r\n"))
  end)
end)

describe("examples/lib/http: the body", function()
  it("is as long as its Content-Length", function()
    local _, body, rest = read(OK .. "Content-Length: 5\r\n\r\nfive!next", 2)
    assert.equal("five!", body)
    assert.equal("next", rest)
    _, body, rest = read(OK .. "Content-Length: 0\r\n\r\nnext")
    assert.equal("", body)
    assert.equal("next", rest)
    _, body = read(OK .. "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab")
    assert.equal("ab", body)
  end)

  it("is missed when it ends too early", function()
    assert.equal("truncated: 3 of 5 bytes came", failure(http.TruncatedError, OK .. "Content-Length: 5\r\n\r\nabc"))
    assert.equal("truncated: 0 of 5 bytes came", failure(http.TruncatedError, OK .. "Content-Length: 5\r\n\r\n"))
  end)

  it("is refused with a bad Content-Length", function()
    for _, length in ipairs({ "", "five", "-1", "+1", "1.0", "0x10", "1, 2", "1 1", ",", ("9"):rep(20) }) do
      assert.equal(('bad Content-Length "%s"'):format(length),
        failure(http.ProtocolError, OK .. "Content-Length: " .. length .. "\r\n\r\n1"))
    end
  end)

  it("goes to the end of the connection without a length", function()
    local _, body = read(OK .. "\r\nall of\nit\r\n", 3)
    assert.equal("all of\nit\r\n", body)
    _, body = read(OK .. "\r\n")
    assert.equal("", body)
  end)

  it("is none for HEAD, 204 and 304", function()
    for _, text in ipairs({ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nnext",
      "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\nnext" }) do
      local _, body, rest = read(text)
      assert.equal("", body)
      assert.equal("next", rest)
    end
    local _, body, rest = read(OK .. "Content-Length: 5\r\n\r\nnext", nil, "HEAD")
    assert.equal("", body)
    assert.equal("next", rest)
  end)

  it("comes in chunks, with extensions and trailers", function()
    local text = OK .. "Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n"
      .. "4;name=\"v\"\r\nfour\r\n1 \r\n\n\r\n000A ; x\r\n0123456789\r\n0\r\nChecksum: abc\r\nOther: d\r\n\r\nnext"
    for step = 1, 12 do
      local reply, body, rest = read(text, step)
      assert.equal("four\n0123456789", body)
      assert.same({ checksum = "abc", other = "d" }, reply.trailers)
      assert.equal("next", rest)
    end
  end)

  it("is missed when the chunks end too early, wherever that is", function()
    local text = OK .. "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert.equal("fourtwo", select(2, read(text)))
    for length = #OK, #text - 1 do
      failure(http.TruncatedError, text:sub(1, length))
    end
  end)

  it("is refused with bad chunks", function()
    local head = OK .. "Transfer-Encoding: chunked\r\n\r\n"
    for _, size in ipairs({ "", "four", "-1", "0x4", "4 4", ";", ("f"):rep(16) }) do
      assert.equal(('bad chunk size "%s"'):format(size), failure(http.ProtocolError, head .. size .. "\r\nfour\r\n"))
    end
    assert.equal("a chunk is longer than its size", failure(http.ProtocolError, head .. "3\r\nfour\r\n0\r\n\r\n"))
    assert.equal("chunk: a line longer than 8192 bytes",
      failure(http.ProtocolError, head .. "4;" .. ("x"):rep(9000) .. "\r\nfour\r\n"))
    assert.equal("headers: more than 65536 bytes",
      failure(http.ProtocolError, head .. "0\r\n" .. ("Name: value\r\n"):rep(9000)))
  end)

  it("is refused in a coding other than chunked", function()
    assert.equal('transfer coding "gzip, chunked" is not supported',
      failure(http.ProtocolError, OK .. "Transfer-Encoding: gzip, chunked\r\n\r\n"))
  end)
end)
