--- The programs in C that use luawait.h: those of examples/embed, and spec/support/embed_*.c.
local helpers = require "spec.support.helpers"

local embed = {}

--- The path of their directory.
function embed.directory()
  return helpers.built("embed")
end

--- Runs a command line of one of them, for at most a minute; what it prints, and its exit code (124: it hung).
function embed.run(command)
  local pipe = assert(io.popen(("timeout 60 %s/%s 2>&1"):format(embed.directory(), command)))
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code
end

return embed
