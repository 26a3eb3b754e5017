-- An output handler for busted: the usual terminal report, then one line that scripts can add up. A spec file fails too
-- if it ends with more open descriptors than it began with, or fewer.
local busted = require "busted"
local term = require "term"
local descriptors = require "spec.support.descriptors"

return function(options)
  local terminal = term.isatty(io.stdout) and "utfTerminal" or "plainTerminal"
  local handler = require("busted.outputHandlers." .. terminal)(options)
  local before
  busted.subscribe({ "file", "start" }, function()
    before = descriptors()
    return nil, true
  end)
  busted.subscribe({ "file", "end" }, function(file, parent)
    collectgarbage()
    collectgarbage()
    local after = descriptors()
    if after ~= before then
      local message = ("%d descriptors, %d before"):format(after, before)
      busted.publish({ "error", "file" }, file, parent, message)
    end
    return nil, true
  end)
  busted.subscribe({ "suite", "end" }, function()
    local failed = handler.failuresCount + handler.errorsCount
    print(("\n%d passed, %d failed, %d skipped"):format(handler.successesCount, failed, handler.pendingsCount))
    return nil, true
  end)
  return handler
end
