-- An output handler for busted: the usual terminal report, then one line that scripts can add up.
local busted = require "busted"
local term = require "term"

return function(options)
  local terminal = term.isatty(io.stdout) and "utfTerminal" or "plainTerminal"
  local handler = require("busted.outputHandlers." .. terminal)(options)
  busted.subscribe({ "suite", "end" }, function()
    local failed = handler.failuresCount + handler.errorsCount
    print(("\n%d passed, %d failed, %d skipped"):format(handler.successesCount, failed, handler.pendingsCount))
    return nil, true
  end)
  return handler
end
