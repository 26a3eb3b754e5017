--- What the specs of the network share.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"

local support = { descriptors = require "spec.support.descriptors" }

--- Runs fn(client, server): the two ends of a connection. Nothing may be reported.
function support.run_pair(fn, opts)
  return helpers.run(function()
    local accepted = async.Future()
    local server <close> = net.serve("127.0.0.1", 0, function(stream)
      accepted:set_result(stream)
      helpers.forever()
    end)
    local _, port = server:address()
    local client <close> = net.connect("127.0.0.1", port)
    return fn(client, async.await(accepted), server)
  end, opts)
end

--- Runs fn(port) beside a server with this handler; returns the reports. Further options are the server's.
function support.run_server(handler, fn, opts)
  local reports, ok, err = helpers.collect(function()
    local server <close> = net.serve("127.0.0.1", 0, handler, opts)
    local _, port = server:address()
    return fn(port, server)
  end)
  if not ok then error(err, 0) end
  return reports
end

--- Waits until condition() holds; lets I/O go on meanwhile. One that never holds is an error.
function support.wait_until(condition)
  for _ = 1, 5000 do
    if condition() then return end
    async.sleep(0.001)
  end
  error("the condition did not come true", 2)
end

--- A connection that the peer resets: what it had not read is what makes closing it a reset.
function support.reset_by(peer, stream)
  stream:write("never read")
  support.wait_until(function() return stream:statistics().queued == 0 end)
  peer:close()
end

local noise = ""

--- `size` bytes in which every place can be told from its neighbours.
function support.noise(size)
  if #noise < size then
    local parts, n = {}, 0
    while n < size do
      parts[#parts + 1] = ("%d:%x,"):format(n, n * 2654435761 % 4294967296):rep(3)
      n = n + #parts[#parts]
    end
    noise = table.concat(parts)
  end
  return noise:sub(1, size)
end

return support
