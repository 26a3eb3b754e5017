-- http: URLs: taking them apart, and resolving the target of a redirect (RFC 3986).
local async = require "luawait"

local url = {}

-- A URL that cannot be fetched; the message says why.
url.URLError = async.errors.class("URLError", async.ValueError)

local function fail(message, ...)
  error(url.URLError(message:format(...)))
end

-- The part between http:// and the path: host, port. An IPv6 address stands in brackets.
local function split_authority(authority)
  if authority:find("@", 1, true) then fail("a user name in the URL is not supported") end
  local host, port = authority:match("^(%[[%x:.]+%])(.*)$")
  if not host then host, port = authority:match("^([%w._-]+)(.*)$") end
  if not host then fail("bad host name \"%s\"", authority) end
  local number = port:match("^:(%d*)$") or port == "" and ""
  if not number then fail("bad port \"%s\"", port) end
  number = number == "" and 80 or math.tointeger(tonumber(number))
  if not number or number < 1 or number > 65535 then fail("port %s is not between 1 and 65535", port:sub(2)) end
  return host, number
end

local function percent(byte)
  return ("%%%02X"):format(byte:byte())
end

-- Takes an absolute http: URL and returns its parts: `host` (as in the URL, for the Host header), `address` (to connect
-- to), `port`, `path`, `target` (path and query, for the request line), and `href` (all of it, without the fragment).
-- Raises URLError.
function url.parse(text)
  local bad = text:find("[%c ]")
  if bad then fail("a space or control character at position %d (a space is written %%20)", bad) end
  local scheme, authority, tail = text:match("^(%a[%w+.-]*)://([^/?#]*)(.*)$")
  if not scheme then fail("not a URL: it should begin with http://") end
  scheme = scheme:lower()
  if scheme ~= "http" then fail("%s is not supported, only http", scheme) end
  local host, port = split_authority(authority)
  local target = tail:gsub("#.*$", ""):gsub("[\x80-\xff]", percent)
  if target:sub(1, 1) ~= "/" then target = "/" .. target end
  local origin = "http://" .. host .. (port == 80 and "" or ":" .. port)
  return {
    host = origin:sub(8),
    address = host:gsub("[%[%]]", ""),
    port = port,
    origin = origin,
    path = target:match("^[^?]*"),
    target = target,
    href = origin .. target,
  }
end

-- "/a/b/../c/." -> "/a/c/"
local function remove_dots(path)
  local segments, last = {}, nil
  for segment in path:gmatch("/([^/]*)") do
    if segment == ".." then
      table.remove(segments)
    elseif segment ~= "." then
      segments[#segments + 1] = segment
    end
    last = segment
  end
  if last == "." or last == ".." then segments[#segments + 1] = "" end
  return "/" .. table.concat(segments, "/")
end

-- What a reference (the Location of a reply) means on the page `base` (parsed); returns it parsed. Raises URLError.
function url.resolve(base, reference)
  if reference:find("^%a[%w+.-]*:") then return url.parse(reference) end
  if reference:find("^//") then return url.parse("http:" .. reference) end
  local path, rest = reference:match("^([^?#]*)(.*)$")
  if path == "" then
    path = base.path
    if not rest:find("^%?") then rest = base.target:sub(#base.path + 1) end
  elseif path:sub(1, 1) ~= "/" then
    path = base.path:match("^.*/") .. path
  end
  return url.parse(base.origin .. remove_dots(path) .. rest)
end

return url
