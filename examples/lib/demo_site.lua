-- A web site with good and bad pages, on a free port of this machine, for programs that have no other at hand.
local async = require "luawait"
local net = require "luawait.net"
local http_server = require "lib.http_server"

local demo_site = {}

-- What each page does, by the first word of its path; `rest` is what follows it.
local pages = {}

function pages.fast(stream)
  async.sleep(0.02)
  http_server.reply(stream, 200, nil, ("fast "):rep(400))
end

-- /slow/SECONDS
function pages.slow(stream, rest)
  async.sleep(tonumber(rest:match("[%d.]+")) or 1)
  http_server.reply(stream, 200, nil, ("slow "):rep(2000))
end

function pages.chunked(stream)
  local left = 12
  http_server.reply_chunked(stream, 200, function()
    left = left - 1
    if left < 0 then return nil end
    async.sleep(0.05)
    return ("chunk "):rep(10000)
  end)
end

-- /flaky/TIMES/NAME: that many failures, then it is fine.
function pages.flaky(stream, rest, calls)
  async.sleep(0.1)
  if calls <= tonumber(rest:match("%d+") or 1) then
    http_server.reply(stream, 503, nil, "not now\n")
  else
    http_server.reply(stream, 200, nil, "at last\n")
  end
end

function pages.moved(stream)
  http_server.reply(stream, 302, { Location = "../fast" }, "")
end

-- /hang/TIMES: says nothing until the client gives up, that many times; always without a number.
function pages.hang(stream, rest, calls)
  if calls > (tonumber(rest) or math.huge) then return http_server.reply(stream, 200, nil, "awake\n") end
  while stream:read() do end
end

function pages.truncated(stream)
  async.sleep(0.15)
  stream:write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", ("cut "):rep(5000))
end

function pages.garbage(stream)
  stream:write("220 mail.example ESMTP ready\r\n")
end

-- Pages that show everything; {port} is the site's, {closed} one where nothing listens.
local list = {
  "http://127.0.0.1:{port}/fast",
  "http://127.0.0.1:{port}/hang",
  "http://127.0.0.1:{port}/slow/0.6",
  "http://127.0.0.1:{port}/slow/0.45",
  "http://127.0.0.1:{port}/slow/0.5",
  "http://127.0.0.1:{port}/hang/1",
  "http://127.0.0.1:{port}/chunked",
  "http://127.0.0.1:{port}/flaky/2/times",
  "http://127.0.0.1:{port}/flaky/1/time",
  "http://127.0.0.1:{port}/slow/0.55",
  "http://127.0.0.1:{port}/moved/here",
  "http://127.0.0.1:{port}/missing",
  "http://127.0.0.1:{port}/slow/0.6/too",
  "http://127.0.0.1:{port}/truncated",
  "http://127.0.0.1:{port}/garbage",
  "http://127.0.0.1:{closed}/nobody-here",
  "http://127.0.0.1:{port}/slow/0.4",
  "https://127.0.0.1:{port}/secret",
  "http://127.0.0.1:{port}/slow/0.5/too",
  "http://127.0.0.1:{port}/chunked/too",
  "http://127.0.0.1:{port}/slow/0.6/again",
  "http://127.0.0.1:{port}/slow/0.55/too",
  "http://127.0.0.1:{port}/fast/too",
  "http://127.0.0.1:{port}/slow/0.5/again",
}

local function port_of(server)
  local _, port = server:address()
  return port
end

-- A port where nothing listens: one that was free a moment ago.
local function closed_port()
  local server <close> = net.serve("127.0.0.1", 0, function() end)
  return port_of(server)
end

-- Starts the site. Returns its Server, to be closed, and the array of URLs to visit.
function demo_site.serve()
  local calls = {}
  local server = http_server.serve("127.0.0.1", 0, function(stream, path)
    calls[path] = (calls[path] or 0) + 1
    local word, rest = path:match("^/(%w*)/?(.*)$")
    local page = pages[word]
    if page then return page(stream, rest, calls[path]) end
    http_server.reply(stream, 404, nil, "no such page\n")
  end)
  local ports = { port = port_of(server), closed = closed_port() }
  local urls = {}
  for i, template in ipairs(list) do urls[i] = template:gsub("{(%w+)}", ports) end
  return server, urls
end

return demo_site
