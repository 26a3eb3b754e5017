-- A small HTTP/1.1 server on luawait.net: each connection brings one request and is closed after the reply.
local async = require "luawait"
local net = require "luawait.net"
local http = require "lib.http"

local errors = async.errors
local http_server = {}

local reasons = {
  [200] = "OK", [302] = "Found", [400] = "Bad Request", [404] = "Not Found", [503] = "Service Unavailable",
}

local function write_head(stream, status, headers)
  local lines = { ("HTTP/1.1 %d %s"):format(status, reasons[status] or "") }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  lines[#lines + 1] = "Connection: close\r\n\r\n"
  stream:write(table.concat(lines, "\r\n"))
end

-- Sends a whole reply. `headers` is a table of name = value, or nil.
function http_server.reply(stream, status, headers, body)
  headers = headers or {}
  headers["Content-Length"] = #body
  write_head(stream, status, headers)
  stream:write(body)
end

-- Sends a reply whose length is not known before: each piece that the iterator gives is a chunk.
function http_server.reply_chunked(stream, status, iterator)
  write_head(stream, status, { ["Transfer-Encoding"] = "chunked" })
  for piece in iterator do stream:write(("%x\r\n"):format(#piece), piece, "\r\n") end
  stream:write("0\r\n\r\n")
end

-- The request's path, or nil for what is not a request.
local function read_request(stream)
  local line = stream:read_line(8192)
  local path = line and line:match("^GET (%S+) HTTP/1%.[01]$")
  if path then http.read_headers(stream) end
  return path
end

local function answer(stream, handler)
  local path = read_request(stream)
  if path then
    handler(stream, path)
  else
    http_server.reply(stream, 400, nil, "only GET requests are answered here\n")
  end
  stream:flush()
end

-- Serves until the Server that it returns is closed: handler(stream, path) writes the reply.
-- Clients that went away in the middle are no error.
function http_server.serve(host, port, handler)
  return net.serve(host, port, function(stream)
    local connection <close> = stream
    local ok, err = async.pcall(answer, connection, handler)
    if not ok and not errors.is(err, async.OSError) then error(err, 0) end
  end)
end

return http_server
