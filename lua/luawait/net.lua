--- luawait.net: connections and servers over TCP and Unix sockets, and names. The public face; what a stream can do
-- stands in io/stream_read.c, io/stream_write.c and io/stream.c.
local core = require "luawait.core"
local check = require "luawait.check"
local scopes = require "luawait.scopes"
local race = require "luawait.net.race"
local new_server = require "luawait.net.server"

local BACKLOG = 128 -- connections that the system keeps waiting
local LARGEST_BACKLOG = 0x7fffffff -- as a C int; the system has a lower limit of its own
local RETRY = 0.01 -- seconds after which a Unix server whose backlog was full is tried again
local STEP = 0.25 -- seconds after which the next address is tried beside those before it (RFC 8305, section 8)

local connect_options = {timeout = "number", local_address = "string"}
local serve_options = {backlog = "count", max_connections = "count", reuseport = "boolean"}
local connect_unix_options = {timeout = "number"}
local serve_unix_options = {backlog = "count", max_connections = "count"}
local udp_options = {
  host = "string", port = "number", remote_host = "string", remote_port = "number", family = "string",
  broadcast = "boolean", reuseaddr = "boolean", max_size = "count",
}

local net = {}

local function check_host(host, name)
  if type(host) ~= "string" then check.fail(1, name, ("string expected, got %s"):format(type(host))) end
  if host:find("\0", 1, true) then check.fail(1, name, "string without zeros expected") end
end

--- The path of a Unix socket: not empty, and without zeros but for the one at the start of an abstract name.
local function check_path(path, name)
  if type(path) ~= "string" then check.fail(1, name, ("string expected, got %s"):format(type(path))) end
  if path == "" then check.fail(1, name, "path expected, got an empty string") end
  if path:find("\0", 2, true) then check.fail(1, name, "string without zeros expected") end
end

local function check_port(port, name)
  local number = math.type(port) and math.tointeger(port)
  if not number then check.fail(2, name, ("port number expected, got %s"):format(type(port))) end
  if number < 0 or number > 65535 then check.fail(2, name, ("port from 0 to 65535 expected, got %d"):format(number)) end
  return number
end

--- The addresses with their families taking turns, the preferred one first (RFC 8305, section 4).
local function interleave(addresses)
  local first, others, mixed = {}, {}, {}
  for _, entry in ipairs(addresses) do
    local list = entry.family == addresses[1].family and first or others
    list[#list + 1] = entry
  end
  for i = 1, math.max(#first, #others) do
    mixed[#mixed + 1] = first[i]
    mixed[#mixed + 1] = others[i]
  end
  return mixed
end

local function establish(host, port, local_address)
  local family = local_address and (local_address:find(":", 1, true) and "inet6" or "inet")
  local opts = {host = host, local_address = local_address}
  local addresses = core.net.resolve(host, port, {family = family})
  if #addresses == 1 then return core.net.connect(addresses[1].address, port, opts) end
  return race(interleave(addresses), function(entry) return core.net.connect(entry.address, port, opts) end, STEP)
end

--- net.connect(host, port, opts?): a Stream to a TCP server. `host` is a name or a numeric address. The addresses of
-- a name are tried in turn, families alternating, each next one when the one before it failed or has not answered for
-- 250 ms; the first connection is taken. opts.timeout: seconds for all of it (none); opts.local_address: numeric
-- address to connect from. Waits. Raises OSError (of the last address that failed; its message names the host and the
-- port) or TimeoutError. A cancelled one leaves nothing behind.
function net.connect(host, port, opts)
  check_host(host, "connect")
  port = check_port(port, "connect")
  opts = check.options(opts, 3, "connect", connect_options)
  local from = opts.local_address
  if from and not core.net.is_numeric(from) then
    check.fail(3, "connect", ("option 'local_address': numeric address expected, got '%s'"):format(from))
  end
  check.task("connect")
  return scopes.timeout(opts.timeout, establish, host, port, from)
end

local function numeric(host, port)
  local list = {}
  for i, entry in ipairs(core.net.resolve(host, port)) do list[i] = entry.address end
  return list
end

local function backlog_of(opts)
  return math.min(opts.backlog or BACKLOG, LARGEST_BACKLOG)
end

--- The listener on the first of the addresses that can be had. Raises the error of the last one.
local function listen_first(addresses, port, opts, accepted)
  local failure
  for _, address in ipairs(addresses) do
    local ok, listener = pcall(core.net.listen, address, port, backlog_of(opts), opts.reuseport, accepted)
    if ok then return listener end
    failure = listener
  end
  error(failure, 0)
end

--- net.serve(host, port, handler, opts?): a Server that calls handler(stream) for each connection, in a task of its
-- own; the stream is closed when the handler ends. An error of the handler goes to the exception handler and ends
-- that connection alone. `host` is a name (of whose addresses the first that can be had is taken) or a numeric
-- address; nil or "*" stands for all interfaces. Port 0: any free one, see address(). opts.backlog (128): connections
-- that the system keeps waiting; opts.max_connections (none): at the limit further ones wait; opts.reuseport: several
-- processes may listen on one port. Waits only to look up a name. Raises OSError.
function net.serve(host, port, handler, opts)
  if host ~= nil then check_host(host, "serve") end
  port = check_port(port, "serve")
  check.callable(handler, 3, "serve")
  opts = check.options(opts, 4, "serve", serve_options)
  local everywhere = host == nil or host == "*"
  local addresses = everywhere and {"::", "0.0.0.0"} or numeric(host, port)
  return new_server(function(accepted) return listen_first(addresses, port, opts, accepted) end, handler, opts)
end

--- net.connect_unix(path, opts?): a Stream to a server on a Unix socket. `path` is that of its file, or (Linux) an
-- abstract name, which begins with "\0"; see unix(7). Waits only while the server's backlog is full: opts.timeout,
-- seconds (none). Raises OSError or TimeoutError. A cancelled one leaves nothing behind.
function net.connect_unix(path, opts)
  check_path(path, "connect_unix")
  opts = check.options(opts, 2, "connect_unix", connect_unix_options)
  check.task("connect_unix")
  return scopes.timeout(opts.timeout, function()
    while true do
      local stream = core.net.connect_unix(path)
      if stream then return stream end
      core.sleep(RETRY)
    end
  end)
end

--- net.serve_unix(path, handler, opts?): a Server on a Unix socket, otherwise as net.serve. The file at `path` is
-- made, and removed when the server is closed; a socket there on which nobody listens is replaced. A path that begins
-- with "\0" is an abstract name (Linux). opts: backlog, max_connections. Never waits. Raises OSError: EADDRINUSE where
-- somebody listens, or where there is another kind of file.
function net.serve_unix(path, handler, opts)
  check_path(path, "serve_unix")
  check.callable(handler, 2, "serve_unix")
  opts = check.options(opts, 3, "serve_unix", serve_unix_options)
  return new_server(function(accepted)
    return core.net.listen_unix(path, backlog_of(opts), accepted)
  end, handler, opts)
end

local function check_port_option(opts, key, name)
  local port = opts[key]
  if port ~= nil and not (math.tointeger(port) and port >= 0 and port <= 65535) then
    check.fail(1, name, ("option '%s': port from 0 to 65535 expected, got %s"):format(key, port))
  end
end

local function check_udp_options(opts)
  for _, key in ipairs {"host", "remote_host"} do
    if opts[key] and opts[key]:find("\0", 1, true) then
      check.fail(1, "udp", ("option '%s': string without zeros expected"):format(key))
    end
  end
  if opts.family and opts.family ~= "inet" and opts.family ~= "inet6" then
    check.fail(1, "udp", ("option 'family': \"inet\" or \"inet6\" expected, got \"%s\""):format(opts.family))
  end
  if (opts.remote_host == nil) ~= (opts.remote_port == nil) then
    check.fail(1, "udp", "options 'remote_host' and 'remote_port' go together")
  end
end

--- net.udp(opts?): a DatagramSocket. opts.host and opts.port: what it is bound to (a port alone: on all interfaces; an
-- address alone: any free port; without either the system chooses when something is sent); opts.remote_host and
-- opts.remote_port: what it is connected to: it sends there, and receives from there only. Names are looked up, the
-- first address is taken. opts.family: "inet" or "inet6" (that of the addresses; "inet"); opts.broadcast: may send to
-- broadcast addresses; opts.reuseaddr: several sockets may be bound to the port, as members of a multicast group are;
-- opts.max_size: bytes, longer datagrams are an OSError of recv (65536: there are none). Waits only to look up names.
-- Raises OSError.
function net.udp(opts)
  opts = check.options(opts, 1, "udp", udp_options)
  check_port_option(opts, "port", "udp")
  check_port_option(opts, "remote_port", "udp")
  check_udp_options(opts)
  local family = opts.family
  local function look_up(host)
    local entry = core.net.resolve(host, 0, {family = family})[1]
    family = entry.family
    return entry.address
  end
  local address, peer = opts.host and look_up(opts.host), opts.remote_host and look_up(opts.remote_host)
  if opts.port and not address then address = family == "inet6" and "::" or "0.0.0.0" end
  return core.net.udp {
    ipv6 = family == "inet6", address = address, port = opts.port or 0, peer = peer, peer_port = opts.remote_port,
    broadcast = opts.broadcast, reuseaddr = opts.reuseaddr, max_size = opts.max_size,
  }
end

--- net.resolve(host, service?, opts?) and net.reverse(address): see io/dns.c.
net.resolve, net.reverse = core.net.resolve, core.net.reverse

return net
