--- The programs in C that use luawait.h: those of examples/embed, and spec/support/embed_*.c.
local helpers = require "spec.support.helpers"

local embed = {}

--- Builds them, once; the path of their directory.
function embed.build()
  if embed.path then return embed.path end
  local build = os.getenv("LUAWAIT_BUILD") or "build"
  local log = os.tmpname()
  local command = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL sh -c '"
    .. 'cmake -S . -B "$0" -DLUAWAIT_EXAMPLES=ON && cmake --build "$0" --parallel 2\' \'%s\' >%s 2>&1'
  local ok = os.execute(command:format(build, log))
  local text = helpers.read_file(log)
  os.remove(log)
  assert(ok, text)
  embed.path = build .. "/embed"
  return embed.path
end

--- Runs a command line of one of them, for at most a minute; what it prints, and its exit code (124: it hung).
function embed.run(command)
  local pipe = assert(io.popen(("timeout 60 %s/%s 2>&1"):format(embed.build(), command)))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code
end

return embed
