-- Ping over UDP: udp_ping.lua HOST PORT [COUNT] sends datagrams to a server that sends them back, and tells how long
-- each took. Datagrams get lost: each is waited for one second at most. Without arguments it pings a server of its own,
-- which drops every third one.
local async = require "luawait"
local net = require "luawait.net"

-- The answer to number `n` may come late, when the next one is awaited already: those that do not match are left out.
local function await_answer(socket, n)
  while true do
    local data = socket:recv()
    if data == ("ping %d"):format(n) then return end
  end
end

local function ping(host, port, count, patience, show)
  local socket <close> = net.udp { remote_host = host, remote_port = port }
  local received = 0
  for n = 1, count do
    local began = async.time()
    socket:send(("ping %d"):format(n))
    local ok, err = async.pcall(async.timeout, patience, await_answer, socket, n)
    if ok then received = received + 1 end
    show(n, ok and async.time() - began, err)
  end
  print(("%d sent, %d received, %d %% lost"):format(count, received, (count - received) * 100 // count))
end

local function echo_two_of_three(socket)
  local n = 0
  while true do
    local data, host, port = socket:recv()
    n = n + 1
    if n % 3 ~= 0 then socket:send(data, host, port) end
  end
end

local host, port, count = ...
async.run(function()
  if host then
    return ping(host, tonumber(port), tonumber(count or 4), 1, function(n, took, err)
      print(("%d: %s"):format(n, took and ("%.3f ms"):format(took * 1000) or err))
    end)
  end
  local server <close> = net.udp { host = "127.0.0.1" }
  local echo = async.create_task(function() echo_two_of_three(server) end)
  local _, own_port = server:sockname()
  ping("127.0.0.1", own_port, 6, 0.5, function(n, took, err) print(n, took and "came back" or err.name) end)
  echo:cancel()
end)
