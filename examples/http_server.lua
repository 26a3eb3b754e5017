-- A small HTTP/1.1 server: http_server.lua [PORT], then `curl http://127.0.0.1:PORT/hello?name=ann`. Ends with Ctrl-C.
-- Connections are kept for further requests; each request has a deadline, and limits for its lines and its body.
local async = require "luawait"
local net = require "luawait.net"

local REQUEST_TIME, LONGEST_LINE, MOST_HEADERS, LONGEST_BODY = 10, 8000, 100, 1000000

local REASONS = { [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [405] = "Method Not Allowed",
  [413] = "Content Too Large" }

-- Raised with a status for a request that cannot be served; the connection is closed then.
local BadRequest = async.errors.class("BadRequest")

local function check(condition, status)
  if not condition then error(BadRequest(REASONS[status], { status = status }), 0) end
  return condition
end

local function read_headers(stream)
  local headers = {}
  for _ = 1, MOST_HEADERS do
    local line = check(stream:read_line(LONGEST_LINE), 400)
    if line == "" then return headers end
    local name, value = line:match("^([%w-]+):%s*(.-)%s*$")
    headers[check(name, 400):lower()] = value
  end
  check(false, 400)
end

local function read_body(stream, headers)
  check(not headers["transfer-encoding"], 400)
  local length = check(tonumber(headers["content-length"] or "0", 10), 400)
  check(length >= 0, 400)
  check(length <= LONGEST_BODY, 413)
  if headers.expect == "100-continue" then stream:write("HTTP/1.1 100 Continue\r\n\r\n") end
  return length > 0 and stream:read_exactly(length) or ""
end

-- nil at the end of the connection.
local function read_request(stream)
  local line = stream:read_line(LONGEST_LINE)
  if not line then return nil end
  local method, target, minor = line:match("^(%u+) (/%S*) HTTP/1%.([01])$")
  check(method, 400)
  local headers = read_headers(stream)
  local wish = (headers.connection or ""):lower()
  return {
    method = method, path = target:match("^[^?]*"), query = target:match("%?(.*)$") or "",
    body = read_body(stream, headers),
    keep = minor == "1" and wish ~= "close" or wish == "keep-alive",
  }
end

local function respond(stream, request, status, body)
  stream:write("HTTP/1.1 ", status, " ", REASONS[status], "\r\nContent-Type: text/plain\r\nContent-Length: ", #body,
    "\r\nConnection: ", request.keep and "keep-alive" or "close", "\r\n\r\n", request.method == "HEAD" and "" or body)
end

local served = 0

local routes = {
  ["/hello"] = function(request)
    return ("hello, %s\n"):format(request.query:match("name=([%w_]+)") or "world")
  end,
  ["/slow"] = function()
    async.sleep(0.05)                             -- others are served meanwhile
    return "it took a while\n"
  end,
  ["/count"] = function() return ("%d requests\n"):format(served) end,
}

local function answer(stream, request)
  served = served + 1
  if request.path == "/echo" and request.method == "POST" then return respond(stream, request, 200, request.body) end
  local route = routes[request.path]
  if not route then return respond(stream, request, 404, "no such page\n") end
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return respond(stream, request, 405, "GET only\n")
  end
  respond(stream, request, 200, route(request))
end

local function serve(stream)
  local ok, err = async.pcall(function()
    while true do
      local request = async.timeout(REQUEST_TIME, read_request, stream)
      if not request then return end
      answer(stream, request)
      if not request.keep then return end
    end
  end)
  if ok then return end
  local status = async.errors.is(err, BadRequest) and err.status
  if async.errors.is(err, async.LimitOverrunError) then status = 400 end
  if status then respond(stream, {}, status, err.message .. "\n") end
end

local port = ...
local ok, err = pcall(async.run, function()
  local server <close> = net.serve("127.0.0.1", tonumber(port or 8080), serve)
  print(("%s:%d"):format(server:address()))
  io.stdout:flush()
  server:serve_forever()
end)
if not ok and not async.errors.is(err, async.KeyboardInterrupt) then error(err, 0) end
