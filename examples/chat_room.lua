-- A chat room on TCP: what one says goes to all the others. Each member has a queue of lines and a task that sends
-- them, so that nobody waits for a member who reads slowly.
-- Prints what each of two clients reads.
local async = require "luawait"
local net = require "luawait.net"

local members = {}                                -- a set

local function tell_others(sender, line)
  for member in pairs(members) do
    if member ~= sender then member.inbox:put_nowait(line) end
  end
end

-- A member is in the room as long as the scope lasts that holds it.
local function join(name)
  local member = setmetatable({ name = name, inbox = async.Queue() }, {
    __close = function(self)
      members[self] = nil
      tell_others(self, name .. " leaves")
    end,
  })
  members[member] = true
  tell_others(member, name .. " joins")
  member.inbox:put_nowait("welcome, " .. name)
  return member
end

-- The server's side of a connection: the first line is the name, the others are what is said.
local function serve(stream)
  local name = stream:read_line()
  if not name then return end
  local member <close> = join(name)
  async.task_group(function(group)
    group:create_task(function()
      for line in member.inbox:iter() do stream:write(line, "\n") end
    end)
    for line in stream:lines() do tell_others(member, name .. ": " .. line) end
    group:cancel()                                -- gone: nobody reads the rest
  end)
end

async.run(function()
  local server <close> = net.serve("127.0.0.1", 0, serve)
  local _, port = server:address()
  local ann <close> = net.connect("127.0.0.1", port)
  ann:write("ann\n")
  print("to ann", ann:read_line())
  local bob <close> = net.connect("127.0.0.1", port)
  bob:write("bob\n")
  print("to bob", bob:read_line())
  print("to ann", ann:read_line())
  ann:write("hello, bob\n")
  print("to bob", bob:read_line())
  bob:write("I cannot stay\n")
  bob:close()
  print("to ann", ann:read_line())
  print("to ann", ann:read_line())
end)
