--- Takes an input of the fuzzer apart, and runs what it asks for.
local async = require "luawait"

local script = {}

local runner = async.Runner({ signals = false })

--- Runs fn(...) in the one loop of all inputs.
function script.run(fn, ...)
  local args = table.pack(...)
  return runner:run(function() return async.timeout(5, fn, table.unpack(args, 1, args.n)) end)
end

--- A reader of single bytes from the front of `data`; the second result gives what is left. Bytes that are not there
-- are 0.
function script.bytes(data)
  local at = 0
  return function()
    at = at + 1
    return data:byte(at) or 0
  end, function() return data:sub(at + 1) end
end

--- Feeds `content` to the stream in pieces, each in a turn of its own, as long as reader(), a task, has not ended;
-- the sizes of the pieces are `sizes`, over and over. Then the stream ends, with `code`.
function script.feed(stream, content, sizes, code, reader)
  local at, i = 1, 0
  while not reader:done() do
    if at <= #content then
      local size = sizes[i % #sizes + 1]
      i = i + 1
      at = at + fuzz.feed(stream, content:sub(at, at + size - 1))
    else
      fuzz.finish(stream, code)
    end
    async.sleep(0)
  end
end

return script
