-- A TCP server that echoes lines, and three clients that talk to it at the same time.
local async = require "luawait"
local net = require "luawait.net"

-- One task for each connection runs this.
local function echo(stream)
  for line in stream:lines() do stream:write(line, "\n") end
end

local client = async(function(name, port)
  local stream <close> = net.connect("127.0.0.1", port)
  local answers = {}
  for i = 1, 3 do
    stream:write(("%s %d\n"):format(name, i))
    answers[i] = stream:read_line()
  end
  return table.concat(answers, ", ")
end)

async.run(function()
  local server <close> = net.serve("127.0.0.1", 0, echo)
  local _, port = server:address()
  for _, answers in ipairs(async.gather({ client("ann", port), client("bob", port), client("eve", port) })) do
    print(answers)
  end
end)
