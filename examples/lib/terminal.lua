-- What can be known of the terminal without a C library.
local terminal = {}

-- Whether a descriptor (1 for stdout, 2 for stderr) is a terminal: a child asks, for it inherits the descriptors.
function terminal.is(descriptor)
  return os.execute(("test -t %d"):format(descriptor)) == true
end

-- Columns of the terminal; 100 where there is none.
function terminal.columns()
  local pipe <close> = io.popen("{ stty size </dev/tty; } 2>/dev/null")
  local columns = pipe and tonumber((pipe:read("l") or ""):match("^%d+ (%d+)$"))
  return columns and columns >= 40 and columns or 100
end

-- Whether the locale's characters are UTF-8.
function terminal.is_utf8()
  for _, name in ipairs({ "LC_ALL", "LC_CTYPE", "LANG" }) do
    local value = os.getenv(name)
    if value and value ~= "" then return value:lower():find("utf%-?8") ~= nil end
  end
  return false
end

return terminal
