-- A small HTTP/1.1 client on luawait.net: one connection per request, bodies handed on piece by piece.
-- The functions read from anything that has the `read` and `read_until` of a Stream, so they can be tested without one.
local async = require "luawait"
local net = require "luawait.net"
local url = require "lib.url"

local errors = async.errors
local http = {}

-- What the other side sent is not HTTP/1.
http.ProtocolError = errors.class("ProtocolError", async.Error)
-- The connection ended before the message did.
http.TruncatedError = errors.class("TruncatedError", http.ProtocolError)

local LINE_LIMIT <const> = 8192    -- bytes of one line of the head
local HEAD_LIMIT <const> = 65536   -- bytes of all header lines together
local PIECE <const> = 65536        -- bytes of the body handed on at once, at most
local INTERIM_LIMIT <const> = 10   -- 1xx replies before the real one

local function malformed(message, ...)
  error(http.ProtocolError(message:format(...)))
end

local function truncated(message, ...)
  error(http.TruncatedError(message:format(...)))
end

-- For a message: what came, made printable, and not all of it.
local function quote(text)
  return '"' .. text:sub(1, 40):gsub("[^\x20-\x7e]", "?") .. (#text > 40 and '..."' or '"')
end

-- A line of a message without its end; nil when the connection ended before that.
-- (A Stream's read_line would take what comes before the end of the connection for a line.)
local function read_line(stream, what)
  local ok, line = async.pcall(stream.read_until, stream, "\n", LINE_LIMIT)
  if ok then return (line:gsub("\r?\n$", "")) end
  if errors.is(line, async.IncompleteReadError) then return nil end
  if errors.is(line, async.LimitOverrunError) then malformed("%s: a line longer than %d bytes", what, LINE_LIMIT) end
  error(line, 0)
end

-- Header (or trailer) lines up to the empty one, as a table by lower-case name; repeated ones are joined with commas.
function http.read_headers(stream)
  local headers, size = {}, 0
  while true do
    local line = read_line(stream, "headers")
    if not line then truncated("the connection ended in the headers") end
    if line == "" then return headers end
    size = size + #line
    if size > HEAD_LIMIT then malformed("headers: more than %d bytes", HEAD_LIMIT) end
    local name, value = line:match("^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$")
    if not name then malformed("headers: bad line %s", quote(line)) end
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
end

local function read_status(stream)
  local line = read_line(stream, "status line")
  if not line then truncated("the connection ended without a reply") end
  local status, reason = line:match("^HTTP/1%.%d ([1-9]%d%d)%f[ \0] ?(.*)$")
  if not status then malformed("not an HTTP/1 reply: %s", quote(line)) end
  return { status = math.tointeger(tonumber(status)), reason = reason }
end

-- Reads the head of a reply: `status`, `reason`, `headers`. Interim replies (1xx) are passed over.
function http.read_head(stream)
  for _ = 1, INTERIM_LIMIT do
    local reply = read_status(stream)
    reply.headers = http.read_headers(stream)
    if reply.status >= 200 then return reply end
  end
  malformed("more than %d interim replies", INTERIM_LIMIT)
end

local function read_sized(stream, size, sink)
  local left = size
  while left > 0 do
    local data = stream:read(math.min(left, PIECE))
    if not data then truncated("truncated: %d of %d bytes came", size - left, size) end
    left = left - #data
    sink(data)
  end
end

local function read_to_end(stream, sink)
  local data = stream:read(PIECE)
  while data do
    sink(data)
    data = stream:read(PIECE)
  end
end

local function read_chunks(stream, sink)
  while true do
    local line = read_line(stream, "chunk")
    if not line then truncated("truncated: the connection ended before the last chunk") end
    local digits = line:match("^(%x+)[ \t]*$") or line:match("^(%x+)[ \t]*;")
    if not digits or #digits > 15 then malformed("bad chunk size %s", quote(line)) end
    local size = tonumber(digits, 16)
    if size == 0 then return http.read_headers(stream) end
    read_sized(stream, size, sink)
    local line_end = read_line(stream, "chunk")
    if not line_end then truncated("truncated: the connection ended after a chunk") end
    if line_end ~= "" then malformed("a chunk is longer than its size") end
  end
end

-- The Content-Length: a number, nil without one. The same one several times is allowed.
local function content_length(headers)
  local text = headers["content-length"]
  if not text then return nil end
  local first = text:match("^%d+")
  local good = first and #first <= 15
  for each in text:gmatch("[^,]+") do good = good and each:match("^%s*(.-)%s*$") == first end
  if not good then malformed("bad Content-Length %s", quote(text)) end
  return math.tointeger(tonumber(first))
end

-- Reads the body that belongs to a head, each piece into sink(data), and nothing behind it. Returns the trailers of a
-- chunked one. Framing is as in RFC 9112, section 6.3; a body that ends too early raises TruncatedError.
function http.read_body(stream, method, reply, sink)
  local status, coding = reply.status, reply.headers["transfer-encoding"]
  if method == "HEAD" or status == 204 or status == 304 then return nil end
  if coding then
    if coding:lower() ~= "chunked" then malformed("transfer coding %s is not supported", quote(coding)) end
    return read_chunks(stream, sink)
  end
  local size = content_length(reply.headers)
  if size then
    read_sized(stream, size, sink)
  else
    read_to_end(stream, sink)
  end
end

local redirects = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

-- Where a reply sends us, parsed; nil when it does not.
local function redirect_target(location, reply)
  local target = redirects[reply.status] and reply.headers.location
  if not target then return nil end
  local ok, result = pcall(url.resolve, location, target)
  if ok then return result end
  result.message = ("redirected to %s: %s"):format(quote(target), result.message)
  error(result, 0)
end

-- One request and its reply, on a connection of its own. The body of a redirect is not read.
local function exchange(method, location, sink)
  local stream <close> = net.connect(location.address, location.port)
  stream:write(
    method, " ", location.target, " HTTP/1.1\r\n",
    "Host: ", location.host, "\r\n",
    "User-Agent: luawait-example\r\n",
    "Accept: */*\r\n",
    "Accept-Encoding: identity\r\n",
    "Connection: close\r\n\r\n")
  local reply = http.read_head(stream)
  local target = redirect_target(location, reply)
  if not target then reply.trailers = http.read_body(stream, method, reply, sink) end
  return reply, target
end

-- Fetches a URL (text, or parsed by lib.url), following redirects.
-- opts.method: "GET" (default) or "HEAD"; opts.sink: a function that takes the body piece by piece;
-- opts.redirects: how many to follow (default 5).
-- Returns a table of `status`, `reason`, `headers`, `url` (the last one), `trailers` (of a chunked body) and, without a
-- sink, `body`. Raises URLError, ProtocolError, TruncatedError, and what net.connect and a Stream raise.
-- A cancellation closes the connection and leaves nothing behind.
function http.get(address, opts)
  opts = opts or {}
  local method, limit = opts.method or "GET", opts.redirects or 5
  local pieces = {}
  local sink = opts.sink or function(data) pieces[#pieces + 1] = data end
  local location = type(address) == "string" and url.parse(address) or address
  for _ = 0, limit do
    local reply, target = exchange(method, location, sink)
    if not target then
      reply.url = location.href
      if not opts.sink then reply.body = table.concat(pieces) end
      return reply
    end
    location = target
  end
  malformed("more than %d redirects", limit)
end

return http
