-- Every descriptor is closed on exec, and none is left when a run has ended.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"


--- What a program started now inherits: its descriptors, each with what it leads to, but for those that it opens.
local function inherited()
  local list <close> = io.popen("ls -l /proc/self/fd")
  local found = {}
  for line in list:lines() do
    local fd, target = line:match("(%d+) %-> (.*)$")
    if fd and fd ~= "1" and not target:find("^/proc/") then found[#found + 1] = fd .. " " .. target end
  end
  table.sort(found)
  return found
end

--- Opens one of everything; returns the objects.
local function open_all(path)
  local accepted = async.Queue()
  local function keep(stream)
    accepted:put(stream)
    helpers.forever()
  end
  local servers = { net.serve("127.0.0.1", 0, keep), net.serve("127.0.0.1", 0, keep, { reuseport = true }),
    net.serve_unix(path, keep), (pcall(net.serve_unix, "\0" .. path, keep)) }
  local objects = {
    (net.connect(servers[1]:address())), (net.connect(servers[2]:address())), net.connect_unix(path),
    net.udp(), net.udp { host = "127.0.0.1" },
    net.udp { remote_host = "127.0.0.1", remote_port = 9 },
  }
  for _ = 1, 3 do objects[#objects + 1] = accepted:get() end
  return objects
end

describe("A program that is started", function()
  it("inherits no descriptor of the library's", function()
    if not support.descriptors() then return pending("needs /proc") end
    local path = os.tmpname()
    os.remove(path)
    local before = inherited()
    local during
    local counted_before, counted = support.descriptors(), nil
    helpers.run(function()
      local objects = open_all(path)
      counted = support.descriptors()
      during = inherited()
      assert.equal(9, #objects)
    end)
    assert.is_true(counted >= counted_before + 13, "nothing was opened")
    assert.same(before, during)
    assert.equal(counted_before, support.descriptors())
  end)
end)
