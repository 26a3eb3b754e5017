-- Which TCP ports are open? port_scanner.lua HOST FIRST LAST tries each port from FIRST to LAST, a hundred at a time.
-- Without arguments it scans twenty ports of this machine, on three of which it serves.
local async = require "luawait"
local net = require "luawait.net"

local LIMIT, PATIENCE = 100, 1

local function is_open(host, port)
  local ok, stream = async.pcall(net.connect, host, port, { timeout = PATIENCE })
  if ok then stream:close() end
  return ok
end

-- The open ones of these ports, in their order. `peak` tells how many were tried at once.
local function scan(host, ports, limit)
  local slots, trying, peak = async.Semaphore(limit), 0, 0
  local jobs, open = {}, {}
  for i, port in ipairs(ports) do
    jobs[i] = function()
      local _ <close> = slots:acquire()
      trying = trying + 1
      peak = math.max(peak, trying)
      local result = is_open(host, port)
      trying = trying - 1
      return result
    end
  end
  for i, result in ipairs(async.gather(jobs)) do
    if result then open[#open + 1] = ports[i] end
  end
  return open, peak
end

local function demonstrate()
  local servers, ports = {}, {}
  for i = 1, 20 do                                -- free ports, of which some stay in use
    local server = net.serve("127.0.0.1", 0, function() end)
    ports[i] = select(2, server:address())
    servers[i] = server
  end
  for i = 1, 20 do
    if i % 7 ~= 0 and i ~= 1 then servers[i]:close() end
  end
  local open, peak = scan("127.0.0.1", ports, 5)
  print(("%d of %d ports are open; at most %d were tried at once"):format(#open, #ports, peak))
  print(open[1] == ports[1] and open[2] == ports[7] and open[3] == ports[14])
end

local host, first, last = ...
async.run(function()
  if not host then return demonstrate() end
  local ports = {}
  for port = tonumber(first), tonumber(last) do ports[#ports + 1] = port end
  for _, port in ipairs((scan(host, ports, LIMIT))) do print(port) end
end)
