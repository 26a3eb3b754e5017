-- A prompt that does not wait for ever: other tasks go on meanwhile, and what was typed by then is not lost.
--   scripts/lua.sh examples/prompt.lua [SECONDS]
local async = require "luawait"
local tty = require "luawait.tty"

local patience = tonumber(arg[1] or 10)

-- The next line; nil at the end of the input; TimeoutError when nobody answers in time.
local function ask(question)
  tty.stdout():write(question, " ")
  return async.timeout(patience, function() return tty.stdin():read_line() end)
end

async.run(function()
  local out = tty.stdout()
  local ok, name = async.pcall(ask, "Your name?")
  if not ok and async.errors.is(name, async.TimeoutError) then
    out:write("\nNobody there. I take you for a guest.\n")
    name = "guest"
  end
  out:write("Hello, ", name or "silent one", ".\n")
end)
