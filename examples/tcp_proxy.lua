-- A TCP proxy: tcp_proxy.lua PORT HOST PORT2 passes on what comes to PORT to HOST:PORT2, and back. Ends with Ctrl-C.
-- Without arguments it shows itself at work: a client, the proxy, and a server that answers in capitals.
local async = require "luawait"
local net = require "luawait.net"

-- One direction. The end of one side becomes the end of the other, so that half-closed connections stay that.
local function pump(from, to)
  while true do
    local data = from:read()
    if not data then break end
    to:write(data)                                -- waits for a slow reader, so nothing piles up here
  end
  to:shutdown()
end

-- When one direction fails, gather raises its error, both streams are closed, and with them the other direction ends.
local function proxy(host, port)
  return function(client)
    local upstream <close> = net.connect(host, port, { timeout = 10 })
    async.gather(function() pump(client, upstream) end, function() pump(upstream, client) end)
  end
end

local function demonstrate()
  local upstream <close> = net.serve("127.0.0.1", 0, function(stream)
    for line in stream:lines() do stream:write(line:upper(), "\n") end
    stream:write("goodbye\n")
  end)
  local server <close> = net.serve("127.0.0.1", 0, proxy(upstream:address()))
  local client <close> = net.connect(server:address())
  for _, line in ipairs({ "hello", "through the proxy" }) do
    client:write(line, "\n")
    print(client:read_line())
  end
  client:shutdown()
  print(client:read_line())
end

local from, host, to = ...
local ok, err = pcall(async.run, function()
  if not from then return demonstrate() end
  local server <close> = net.serve("127.0.0.1", tonumber(from), proxy(host, tonumber(to)))
  print(("%s:%d"):format(server:address()))
  io.stdout:flush()
  server:serve_forever()
end)
if not ok and not async.errors.is(err, async.KeyboardInterrupt) then error(err, 0) end
