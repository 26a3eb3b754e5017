--- What the specs of signals, processes and terminals ask the system.
local helpers = require "spec.support.helpers"

local system = {}

--- What a shell command prints on stdout, without the last line end. The loop stands still meanwhile.
function system.output(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("\n$", ""))
end

--- The number of this process.
system.pid = math.tointeger(system.output("echo $PPID"))

--- Sends a signal ("USR1") to a process (this one); it has been sent when this returns. Not by os.execute, which
-- ignores SIGINT meanwhile.
function system.kill(name, pid)
  system.output(("kill -%s %d"):format(name, pid or system.pid))
end

--- Does the mask `field` of /proc/PID/status ("SigCgt", "SigIgn", "SigBlk") hold the signal with this number?
function system.in_mask(field, signum, pid)
  local status <close> = assert(io.open(("/proc/%d/status"):format(pid or system.pid)))
  local mask = tonumber(status:read("a"):match(field .. ":%s*(%x+)"), 16)
  return mask >> (signum - 1) & 1 == 1
end

--- The number of descriptors that this process has open; nil where the system does not tell.
function system.descriptors()
  local stat <close> = io.open("/proc/self/stat")
  if not stat then return nil end
  -- Not by popen, which may still have both ends of its pipe when the other program looks.
  local path = os.tmpname()
  local _ <close> = helpers.defer(function() os.remove(path) end)
  assert(os.execute(("ls /proc/%d/fd | wc -l >'%s'"):format(system.pid, path)))
  return tonumber(helpers.read_file(path))
end

return system
