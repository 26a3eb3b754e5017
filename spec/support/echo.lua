--- echo(): a server that sends lines back, and two clients that check what they get, for runs in which something fails.
local async = require "luawait"
local net = require "luawait.net"

return function()
  local server <close> = net.serve("127.0.0.1", 0, function(stream)
    for line in stream:lines() do stream:write(line, "\n") end
  end)
  local _, port = server:address()
  async.task_group(function(group)
    for i = 1, 2 do
      group:create_task(function()
        local stream <close> = net.connect("127.0.0.1", port)
        stream:set_nodelay(true)
        stream:write(i, "\n")
        assert(stream:read_line() == tostring(i))
        stream:shutdown()
        assert(stream:read() == nil)
      end)
    end
  end)
end
