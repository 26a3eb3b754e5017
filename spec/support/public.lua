--- The public modules, one row for each: what spec/docs_spec.lua checks.
--
--   name       as for require
--   types      its definition file, types/NAME.lua; the last part of the name unless said otherwise
--   variable   what its table is called there; the same
--   pages      where in docs/ its names are explained (a pattern); the page of that name unless said otherwise
--   objects    only where it has classes: calls check(class, object) with an object of each class that has methods,
--              in a task; a third argument names what the object has besides its methods
local async = require "luawait"

local public = {}

local function core_objects(check)
  local group <close> = async.TaskGroup()
  local handle <close> = setmetatable({ async.call_later(60, print) }, { __close = function(t) t[1]:cancel() end })
  check("luawait.Task", async.current_task())
  check("luawait.Handle", handle[1])
  check("luawait.TaskGroup", group)
  check("luawait.Timeout", async.timeout(nil))
  for _, class in ipairs { "Runner", "Future", "Event", "Semaphore", "Lock", "Condition", "Queue" } do
    check("luawait." .. class, async[class]())
  end
  check("luawait.Barrier", async.Barrier(2))
end

local function net_objects(check)
  local net = require "luawait.net"
  local server <close> = net.serve("127.0.0.1", 0, function() end)
  local _, port = server:address()
  local stream <close> = net.connect("127.0.0.1", port)
  check("luawait.net.Server", server)
  check("luawait.net.Stream", stream)
  check("luawait.net.DatagramSocket", net.udp())
end

local function fs_objects(check)
  local fs = require "luawait.fs"
  local file <close> = fs.open("README.md")
  local watch <close> = fs.watch("README.md")
  check("luawait.fs.File", file)
  check("luawait.fs.Watch", watch)
end

local function process_objects(check)
  local child <close> = require("luawait.process").spawn({ "true" })
  check("luawait.process.Process", child, { "argv", "pid", "stderr", "stdin", "stdout" })
end

local function signal_objects(check)
  local signal = require "luawait.signal"
  local listener <close> = signal.listen("SIGWINCH")
  local handler <close> = signal.handle("SIGWINCH", print)
  check("luawait.signal.Listener", listener)
  check("luawait.signal.Handler", handler)
end

public.modules = {
  { name = "luawait", variable = "async", pages = "docs/*.md", objects = core_objects },
  { name = "luawait.std" },
  { name = "luawait.testing" },
  { name = "luawait.net", objects = net_objects },
  { name = "luawait.fs", objects = fs_objects },
  { name = "luawait.process", objects = process_objects },
  { name = "luawait.signal", objects = signal_objects },
  { name = "luawait.tty" },
}

-- Methods of the parent that a class does not have.
public.not_inherited = { ["luawait.Task"] = { set_result = true, set_exception = true } }

for _, module in ipairs(public.modules) do
  local short = module.name:match("[^.]+$")
  module.types = ("types/%s.lua"):format(module.types or short)
  module.variable = module.variable or short
  module.pages = module.pages or ("docs/%s.md"):format(short)
end

return public
