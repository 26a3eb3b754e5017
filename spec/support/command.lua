--- Runs the `luawait` command for the specs.
local helpers = require "spec.support.helpers"

local command = {}

local function quote(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

local function words(list)
  local quoted = {}
  for i, word in ipairs(list) do quoted[i] = quote(word) end
  return table.concat(quoted, " ")
end

-- Runs a line of shell; `input` is what stdin holds. Returns { status=, stdout=, stderr= }.
local function shell(line, input)
  local source, out, err = os.tmpname(), os.tmpname(), os.tmpname()
  local _ <close> = helpers.defer(function()
    for _, path in ipairs({ source, out, err }) do os.remove(path) end
  end)
  helpers.write_file(source, input or "")
  local _, how, code = os.execute(("%s <%s >%s 2>%s"):format(line, quote(source), quote(out), quote(err)))
  return {
    status = how == "signal" and 128 + code or code,
    stdout = helpers.read_file(out),
    stderr = helpers.read_file(err),
  }
end

--- luawait ARGS...; opts.input: what stdin holds, opts.path: another file than bin/luawait, opts.prefix: shell in
--- front.
function command.run(args, opts)
  opts = opts or {}
  local program = quote(opts.path or "bin/luawait")
  return shell(("%s %s %s %s"):format(opts.prefix or "", helpers.guard(60), program, words(args)), opts.input)
end

-- A step as spec/support/terminal.py has them.
local function step(kind, text)
  return kind .. ":" .. text:gsub("[%c\\]", function(c) return ("\\x%02x"):format(c:byte()) end)
end

--- luawait ARGS... in a terminal of its own; `steps`: pairs of the name of a step of spec/support/terminal.py, and its
--- text. Returns what came to the terminal, with the line ends of a file; raises if a step did not go as it should, or
--- the status is not opts.status (0). opts.path: another program, opts.prefix: shell in front.
function command.type(args, steps, opts)
  opts = opts or {}
  local script = {}
  for i, each in ipairs(steps) do script[i] = step(each[1], each[2]) end
  local result = shell(("%s ${LUAWAIT_PYTHON:-python3} spec/support/terminal.py %s -- %s %s"):format(
    opts.prefix or "", words(script), opts.path or "bin/luawait", words(args)))
  if result.status ~= (opts.status or 0) then
    error(("status %d; %s; the terminal shows:\n%s"):format(result.status, result.stderr, result.stdout), 2)
  end
  return (result.stdout:gsub("\r\n", "\n"))
end

return command
