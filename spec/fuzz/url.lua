-- URLs: one that is taken is written so that it is taken again as the same; others raise URLError.
local url = require "lib.url"

local function try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  assert(type(result) == "table" and result.name == "URLError", tostring(result))
end

local function check_again(location)
  if not location then return end
  local again = url.parse(location.href)
  for _, key in ipairs({ "host", "address", "port", "path", "target", "href" }) do
    assert(again[key] == location[key], key)
  end
  assert(location.port >= 1 and location.port <= 65535 and location.target:sub(1, 1) == "/")
  assert(not location.target:find("[%c ]"))
end

return function(data)
  local base, reference = data:match("^(.-)\n(.*)$")
  local location = try(url.parse, base or data)
  check_again(location)
  if location and reference then check_again(try(url.resolve, location, reference)) end
end
