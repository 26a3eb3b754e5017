---@meta luawait.net

-- What `require "luawait.net"` gives. What waits, what a wrong argument raises and what a cancellation does is said
-- at the top of types/luawait.lua; a failed operation raises OSError (`code`, `errno`, `syscall`, `address`).

---@class luawait.net
local net = {}

---@class luawait.net.ConnectOptions
---@field timeout? number seconds for all of it; then TimeoutError is raised (default: none)
---@field local_address? string numeric address to connect from

---Connects to a TCP server. Waits. The addresses of a name are tried in turn, families alternating, each next one when
---the one before it failed or has not answered for 250 ms; the first connection is taken, the other attempts are
---cancelled (RFC 8305). Raises OSError: of the last address that failed, its message names host and port; TimeoutError.
---A cancelled one leaves nothing behind.
---@param host string a name or a numeric address
---@param port integer
---@param opts? luawait.net.ConnectOptions
---@return luawait.net.Stream
function net.connect(host, port, opts) end

---@class luawait.net.ServeOptions
---@field backlog? integer connections that the system keeps waiting (default 128)
---@field max_connections? integer at this limit further connections wait until one ends (default: none)
---@field reuseport? boolean several processes may listen on the port, which share its connections

---Listens, and calls `handler(stream)` for each connection in a task of its own. The stream is closed when the handler
---ends, however it ends. An error of the handler goes to the exception handler at once, and ends that connection alone;
---a cancellation is not reported. An async function serves as a handler too. Waits only to look up a name. Raises
---OSError. The server lives until it is closed or the run ends, also when nobody holds it.
---@param host string? a name (of whose addresses the first that can be had is taken) or a numeric address; nil or "*":
--- all interfaces
---@param port integer 0: any free one, see Server:address
---@param handler fun(stream: luawait.net.Stream)
---@param opts? luawait.net.ServeOptions
---@return luawait.net.Server
function net.serve(host, port, handler, opts) end

---@class luawait.net.ConnectUnixOptions
---@field timeout? number seconds; then TimeoutError is raised (default: none)

---Connects to a server on a Unix socket. Waits only while the server's backlog is full. Raises OSError (`path`), also
---for a path that is too long (ENAMETOOLONG, from 108 bytes on Linux); TimeoutError. A cancelled one leaves nothing
---behind. See unix(7).
---@param path string of the socket's file; one that begins with "\0" is an abstract name (Linux only)
---@param opts? luawait.net.ConnectUnixOptions
---@return luawait.net.Stream
function net.connect_unix(path, opts) end

---@class luawait.net.ServeUnixOptions
---@field backlog? integer connections that the system keeps waiting (default 128)
---@field max_connections? integer at this limit further connections wait until one ends (default: none)

---As serve, on a Unix socket. The file is made with the permissions that the umask leaves, and is removed when the
---server is closed, unless it is another server's by then. A socket file on which nobody listens any more is replaced.
---Raises OSError (`path`): EADDRINUSE where somebody listens, and where there is a file that is no socket. Never waits.
---@param path string as for connect_unix
---@param handler fun(stream: luawait.net.Stream)
---@param opts? luawait.net.ServeUnixOptions
---@return luawait.net.Server
function net.serve_unix(path, handler, opts) end

---@class luawait.net.UdpOptions
---@field host? string a name or a numeric address to bind to (default: all interfaces, where there is a port)
---@field port? integer to bind to (default: where there is a host, any free one)
---@field remote_host? string a name or a numeric address to connect to: only this one is sent to and received from
---@field remote_port? integer
---@field family? "inet" | "inet6" (default: that of the addresses, or "inet")
---@field broadcast? boolean it may send to broadcast addresses
---@field reuseaddr? boolean several sockets may be bound to the port, as members of a multicast group are
---@field max_size? integer bytes; longer datagrams are an OSError of recv (default 65536: there are none)

---A socket for datagrams. One that is not bound is so by the system when it first sends. Waits only to look up names.
---Raises OSError.
---@param opts? luawait.net.UdpOptions
---@return luawait.net.DatagramSocket
function net.udp(opts) end

---@class luawait.net.Address
---@field address string numeric
---@field family "inet" | "inet6"
---@field port integer

---@class luawait.net.ResolveOptions
---@field family? "inet" | "inet6" only these addresses

---The addresses of a name, in the system's order of preference. Waits, on a thread of libuv's pool, except for numeric
---addresses. Raises OSError (`code` is "EAI_NONAME" for an unknown name). A cancelled look-up that runs already goes on
---in its thread; its answer is dropped.
---@param host string a name or a numeric address
---@param service? integer | string a port (default 0) or the name of a service
---@param opts? luawait.net.ResolveOptions
---@return luawait.net.Address[]
function net.resolve(host, service, opts) end

---The name of a numeric address. Waits, as resolve. Raises OSError ("EAI_NONAME" where there is none).
---@param address string
---@return string name
function net.reverse(address) end

---A connection. Held in a `<close>` variable it is closed when the scope is left: left well, after what was written
---has been sent; left with an error, as by close(). One that is dropped is closed when it is collected, with a report
---in debug mode. Bytes that arrive are kept in its buffer until they are read; at 256 KiB, while nobody reads, the
---peer is made to wait. Every method but close, is_closing, peername and statistics raises RuntimeError when the
---stream is closed.
---
---One task at a time may read: a second one gets RuntimeError. A cancelled read loses nothing, the bytes stay in the
---stream. What came before an error is given out before the error is raised.
---@class luawait.net.Stream
local Stream = {}

---What has come, as soon as there is something. Waits. Raises OSError.
---@param n? integer at most so many bytes, 1 or more (default: all that has come)
---@return string? data 1 byte or more; nil at the end of the stream
function Stream:read(n) end

---Exactly `n` bytes. Waits. Raises OSError; IncompleteReadError (`partial`, `expected`) when the stream ends before.
---@param n integer 1 or more
---@return string
function Stream:read_exactly(n) end

---The bytes up to and with the first `sep`. Waits. Raises OSError; IncompleteReadError (`partial`) when the stream ends
---without it; LimitOverrunError (`limit`) when more than `limit` bytes precede it: they stay in the stream.
---@param sep string not empty
---@param limit? integer bytes (default 65536)
---@return string
function Stream:read_until(sep, limit) end

---The next line without its end, which is LF or CRLF; the last one may lack it. Waits. Raises OSError;
---LimitOverrunError (`limit`) when the line is longer than `limit` bytes: it stays in the stream.
---@param limit? integer bytes (default 65536)
---@return string? line nil at the end of the stream
function Stream:read_line(limit) end

---Everything up to the end of the stream. Waits. Raises OSError; LimitOverrunError (`limit`) as soon as there are
---more than `limit` bytes: they stay in the stream.
---@param limit? integer bytes (default: none)
---@return string data "" when nothing came
function Stream:read_all(limit) end

---Iterates over the lines, each as read_line returns it. Waits in each step.
---@param limit? integer bytes of a line (default 65536)
---@return fun(): string?
function Stream:lines(limit) end

---Writes all its arguments; what several tasks write is never mixed within one call. Waits while 64 KiB or more wait
---to be sent. Raises OSError, also for what an earlier call had left to be sent; RuntimeError after shutdown. A
---cancelled one has handed over everything, which will be sent. Where nothing can wait, as in a callback of the loop
---or in a coroutine of the program's, it returns at once whatever is to be sent.
---@param ... string | number
function Stream:write(...) end

---Waits until everything written has been handed to the system. Raises OSError.
function Stream:flush() end

---Half-close: tells the peer that no more will come. Waits until everything written has been sent. Reading goes on; but
---a pipe that is no socket goes one way only, and is closed.
---Raises OSError. A cancelled one is carried out all the same.
function Stream:shutdown() end

---Closes. Never waits; what was written before is still sent, as long as the loop runs. Tasks that read from or write
---to the stream get RuntimeError. Twice is fine.
function Stream:close() end

---Closes at once: what was written and not sent yet is dropped, and the peer of a TCP connection gets a reset. Never
---waits. Tasks that read from or write to the stream get RuntimeError. Twice is fine, also after close, whose sending
---it cuts short.
function Stream:abort() end

---Whether it is closed for the program.
---@return boolean closing true once it is closed for the program
function Stream:is_closing() end

---The address of the other end; known after close too. Of a Unix socket its path: a server's is known after close too,
---a client mostly has none.
---@return string? host numeric, or the path; nil where there is none, as with pipes
---@return integer? port
function Stream:peername() end

---The address, or the path, of this end. Raises OSError.
---@return string? host numeric, or the path; nil where there is none
---@return integer? port
function Stream:sockname() end

---Sends small writes at once (true: every TCP connection starts so), or lets the system collect them. Raises OSError;
---RuntimeError where the stream is no TCP connection.
---@param enable boolean
function Stream:set_nodelay(enable) end

---Has the system probe a silent peer, so that one that has vanished becomes an error. Raises OSError; RuntimeError
---where the stream is no TCP connection.
---@param enable boolean
---@param delay? number seconds of silence, from 1 to 32767, rounded down (default 60)
function Stream:set_keepalive(enable, delay) end

---@class luawait.net.StreamStatistics
---@field bytes_read integer that came
---@field bytes_written integer by write
---@field buffered integer bytes that came and were not read yet
---@field queued integer bytes that were written and that the system has not taken yet
---@field readers integer tasks that wait for data: 0 or 1
---@field writers integer tasks that wait in write, flush, shutdown or at the end of a scope

---What went through it and what is on its way; also after close.
---@return luawait.net.StreamStatistics
function Stream:statistics() end

---A datagram socket. Held in a `<close>` variable it is closed when the scope is left. From the first recv on, what
---comes is kept until it is asked for; at 256 KiB, while nobody receives, it is left to the system, which drops what it
---has no room for. Every method but close, is_closing, peername and statistics raises RuntimeError when it is closed.
---@class luawait.net.DatagramSocket
local DatagramSocket = {}

---Sends one datagram. Waits only while the system takes no more. Raises OSError: EMSGSIZE for one that is too long
---(from 65,508 bytes on with IPv4); EDESTADDRREQ without an address on a socket that is not connected; on a connected
---one also what the network told of earlier ones, as ECONNREFUSED. A cancelled one is sent all the same. Where nothing
---can wait, as in a callback of the loop, it returns at once.
---@param data string | number
---@param host? string a numeric address; none on a connected socket
---@param port? integer
function DatagramSocket:send(data, host, port) end

---The next datagram, and who sent it. Waits; several tasks may, and are served in turn. Raises OSError: EMSGSIZE for
---one that is longer than max_size, with what fits as `partial`; on a connected socket also what the network told of
---datagrams that were sent, as ECONNREFUSED. The socket can be used on after either. A cancelled one loses nothing.
---@return string data may be empty
---@return string host numeric
---@return integer port
function DatagramSocket:recv() end

---Closes. Never waits. What was not received is dropped; tasks that wait get RuntimeError. Twice is fine.
function DatagramSocket:close() end

---Is it closed?
---@return boolean
function DatagramSocket:is_closing() end

---The address of this end; the port is 0 until it is bound. Raises OSError.
---@return string host numeric
---@return integer port
function DatagramSocket:sockname() end

---What it is connected to; known after close too.
---@return string? host numeric; nil if it is not connected
---@return integer? port
function DatagramSocket:peername() end

---Lets it send to broadcast addresses, or not. Raises OSError, as the others below do.
---@param enable boolean
function DatagramSocket:set_broadcast(enable) end

---How many routers a datagram may pass.
---@param hops integer 1 to 255
function DatagramSocket:set_ttl(hops) end

---The same for multicast.
---@param hops integer 0 to 255 (at first 1)
function DatagramSocket:set_multicast_ttl(hops) end

---Whether what it sends to a group comes to members on this machine too (at first so).
---@param enable boolean
function DatagramSocket:set_multicast_loop(enable) end

---The interface through which multicast is sent.
---@param address string a numeric address of the interface; for IPv6 "::%eth0"
function DatagramSocket:set_multicast_interface(address) end

---Becomes a member of a multicast group.
---@param group string a numeric address
---@param interface? string a numeric address of the interface (default: the system chooses)
function DatagramSocket:join(group, interface) end

---Leaves a group that it joined.
---@param group string
---@param interface? string
function DatagramSocket:leave(group, interface) end

---@class luawait.net.DatagramStatistics
---@field received integer datagrams that came
---@field sent integer datagrams
---@field buffered integer datagrams that came and were not asked for yet
---@field queued integer datagrams that were sent and that the system has not taken yet
---@field receivers integer tasks that wait for a datagram
---@field senders integer tasks that wait in send
---@field batch integer datagrams that one call of the system may receive: 16 on Linux, 1 elsewhere and with max_size

---What it has done so far.
---@return luawait.net.DatagramStatistics
function DatagramSocket:statistics() end

---What accepts connections. Held in a `<close>` variable it is closed when the scope is left, and its handlers are
---cancelled and waited for.
---@class luawait.net.Server
local Server = {}

---Where it listens, or did.
---@return string host numeric, or the path of a Unix socket
---@return integer? port
function Server:address() end

---Stops accepting; the handlers that run go on. Never waits. Twice is fine.
function Server:close() end

---Whether it has stopped accepting.
---@return boolean closing true once it accepts no more
function Server:is_closing() end

---Stops accepting. Waits for the handlers. Those that still run after the timeout are cancelled and waited for. A
---cancelled shutdown has stopped accepting, the handlers go on. A handler may call it: it does not wait for itself, nor
---for handlers that wait in it too.
---@param timeout? number seconds (default: however long it takes)
function Server:shutdown(timeout) end

---Waits until the server is closed. A cancelled one closes it.
function Server:serve_forever() end

---@class luawait.net.ServerStatistics
---@field connections integer whose handlers have not ended
---@field accepted integer so far
---@field max_connections? integer
---@field serving boolean

---Its connections, now and so far; also after close.
---@return luawait.net.ServerStatistics
function Server:statistics() end

return net
