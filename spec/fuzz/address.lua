-- Numeric addresses: what is taken for one comes back the same from its text, and no IPv4 address is missed or made up.
local net = require "luawait.net"
local script = require "spec.fuzz.script"

local function is_ipv4(text)
  local parts = { text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  for _, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 or (#part > 1 and part:sub(1, 1) == "0") then return false end
  end
  return #parts == 4
end

return function(data)
  local byte, rest = script.bytes(data)
  local port, host = byte() * 256 + byte(), rest()
  if host:find("\0", 1, true) then
    local ok, err = pcall(net.resolve, host, port)
    assert(not ok and tostring(err):find("zeros"))
    return
  end
  local text = fuzz.address(host, port)
  assert((text == ("%s:%d"):format(host, port)) == is_ipv4(host))
  if not text then return end
  local inner, digits = text:match("^%[?([^%]]*)%]?:(%d+)$")
  assert(tonumber(digits) == port and fuzz.address(inner, port) == text, text)
  -- The public function agrees, and answers at once.
  local list = net.resolve(host, port)
  assert(#list == 1 and list[1].address == inner and list[1].port == port)
  assert(list[1].family == (is_ipv4(host) and "inet" or "inet6"))
end
