-- A reply of HTTP: read from small pieces it gives what it gives when it comes in one, or the same error.
local async = require "luawait"
local http = require "lib.http"
local script = require "spec.fuzz.script"

local known = { ProtocolError = true, TruncatedError = true, OSError = true }

local function read_reply(stream)
  local parts = {}
  local ok, err = pcall(function()
    local reply = http.read_head(stream)
    parts[#parts + 1] = reply.status .. " " .. reply.reason
    local names = {}
    for name in pairs(reply.headers) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do parts[#parts + 1] = name .. ": " .. reply.headers[name] end
    local body = {}
    local sink = function(data) body[#body + 1] = data end
    local done, problem = pcall(http.read_body, stream, "GET", reply, sink)
    parts[#parts + 1] = table.concat(body)
    if not done then error(problem, 0) end
  end)
  if not ok then
    assert(type(err) == "table" and known[err.name], tostring(err))
    parts[#parts + 1] = tostring(err)
  end
  return table.concat(parts, "\n")
end

local function reply_in_pieces(content, sizes)
  local stream <close> = fuzz.stream()
  local reader = async.create_task(function() return read_reply(stream) end)
  script.feed(stream, content, sizes, 0, reader)
  return async.await(reader)
end

return function(data)
  local byte, rest = script.bytes(data)
  local sizes = { byte() + 1, byte() + 1, byte() + 1 }
  local content = rest()
  script.run(function()
    local whole, pieces = reply_in_pieces(content, { 1 << 20 }), reply_in_pieces(content, sizes)
    assert(whole == pieces, ("%q, in pieces %q"):format(whole, pieces))
  end)
end
