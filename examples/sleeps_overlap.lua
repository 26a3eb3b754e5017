-- Three waits at the same time take as long as the longest of them.
local async = require "luawait"

local fetch = async(function(name, delay)
  async.sleep(delay)
  print(name .. " is here")
  return name .. "'s result"
end)

async.run(function()
  local start = async.time()
  local a, b, c = async.gather(fetch("A", 0.6), fetch("B", 0.2), fetch("C", 0.4))
  print(a, b, c)
  print(("waits: 1.2 s, elapsed: %.1f s"):format(async.time() - start))
end)
