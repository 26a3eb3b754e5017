--- What the specs of signals, processes and terminals ask the system.
local system = { descriptors = require "spec.support.descriptors" }

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

return system
