-- A chat server for telnet and netcat: chat_server.lua [PORT], then `telnet 127.0.0.1 PORT`. Ends with Ctrl-C.
-- Each member has a queue of lines to read, and a task that sends them: nobody waits for a member who reads slowly, and
-- one who lets too many lines pile up has to leave.
local async = require "luawait"
local net = require "luawait.net"

local LONGEST_LINE, MOST_LINES, NAME_TIME, LAST_WORDS = 1000, 1000, 60, 5

local members = {}                                -- name -> queue of lines

local function tell(name, line)
  local ok = pcall(members[name].put_nowait, members[name], line)
  if not ok then members[name]:shutdown() end     -- too slow: its sender ends, and with it the connection
end

local function tell_others(sender, line)
  for name in pairs(members) do
    if name ~= sender then tell(name, line) end
  end
end

-- A member is in the room as long as the scope lasts that holds this.
local function join(name)
  members[name] = async.Queue(MOST_LINES)
  tell_others(name, ("* %s joins"):format(name))
  return setmetatable({}, {
    __close = function()
      members[name] = nil
      tell_others(name, ("* %s leaves"):format(name))
    end,
  })
end

local function ask_name(stream)
  while true do
    stream:write("Your name? ")
    local name = (stream:read_line(LONGEST_LINE) or "/quit"):match("^%s*(.-)%s*$")
    if name == "/quit" then return nil end
    if name:find("^[%w_]+$") and not members[name] then return name end
    stream:write("Letters and digits, please, and a name that nobody has.\n")
  end
end

local commands = {
  ["/who"] = function(name)
    local names = {}
    for each in pairs(members) do names[#names + 1] = each end
    table.sort(names)
    tell(name, "* here: " .. table.concat(names, ", "))
  end,
}

-- What a member types, until the end of the connection or /quit. telnet ends lines with CRLF, which is fine.
local function listen_to(name, stream)
  for line in stream:lines(LONGEST_LINE) do
    if line == "/quit" then return end
    if commands[line] then commands[line](name) else tell_others(name, ("%s: %s"):format(name, line)) end
  end
end

local function send_lines(name, stream)
  for line in members[name]:iter() do stream:write(line, "\n") end
end

local function serve(stream)
  local name = async.timeout(NAME_TIME, ask_name, stream)
  if not name then return end
  local _ <close> = join(name)
  async.task_group(function(group)
    local sender = group:create_task(function()
      async.pcall(send_lines, name, stream)       -- an error: the connection has broken
      group:cancel()
    end)
    listen_to(name, stream)
    members[name]:shutdown()                      -- what is in it is still sent, to one who still reads
    async.wait({ sender }, { timeout = LAST_WORDS })
    group:cancel()
  end)
end

local port = ...
local ok, err = pcall(async.run, function()
  local server <close> = net.serve("127.0.0.1", tonumber(port or 4000), serve)
  print(("%s:%d"):format(server:address()))
  io.stdout:flush()
  server:serve_forever()
end)
if not ok and not async.errors.is(err, async.KeyboardInterrupt) then error(err, 0) end
