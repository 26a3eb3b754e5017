--- A server: a listener, and one task for each connection. In Lua on io/listener.c, which calls it for every connection
-- it has accepted.
local core = require "luawait.core"
local check = require "luawait.check"
local await = require "luawait.await"

local PAUSE = 0.1 -- seconds without accepting, when descriptors have run out

local Server = {__name = "Server"}
Server.__index = Server

--- The state of a server is not for its users: it is found by way of the server.
local states = setmetatable({}, {__mode = "k"})

local function report(server, message, err, traceback, task)
  core.net.report {message = message:format(tostring(server)), error = err, traceback = traceback, task = task}
end

--- Accepts again, if there is room.
local function go_on(state)
  if not state.pause and state.active < state.limit then state.listener:resume() end
end

--- The handler of a connection is through, or was cancelled before it began.
local function ended(server, state, task, stream)
  state.tasks[task] = nil
  state.active = state.active - 1
  stream:close()
  if task:state() == "failed" then
    local failure = core.net.failure(task)
    report(server, "a connection handler of %s failed", failure.error, failure.traceback, task)
  end
  go_on(state)
end

--- No descriptor is left, or accepting fails for another reason: tries again after a while.
local function starve(server, state, err)
  if state.pause then return end
  if not state.complained then report(server, "%s cannot accept connections", err) end
  state.complained = true
  state.listener:pause()
  state.pause = core.call_later(PAUSE, function()
    state.pause = false
    if state.listener:is_closing() then server:close() end
    go_on(state)
  end)
end

--- An async function returns a Coroutine, which is awaited.
local function handle(handler, stream)
  local owned <close> = stream
  local result = handler(owned)
  if type(result) == "userdata" and core.not_awaitable(result) == nil then await(result) end
end

local function accepted(server, state, stream, err)
  if not stream then return starve(server, state, err) end
  local handler = state.handler
  local task = core.create_task(function() handle(handler, stream) end)
  state.complained = false
  state.tasks[task] = "handles"
  task:add_done_callback(function() ended(server, state, task, stream) end)
  state.accepted, state.active = state.accepted + 1, state.active + 1
  if state.active >= state.limit then state.listener:pause() end
end

--- As accepted; a connection for which there is no memory is closed.
local function accepted_or_closed(server, state, stream, err)
  local ok, failure = pcall(accepted, server, state, stream, err)
  if ok then return end
  if stream then stream:close() end
  error(failure, 0)
end

local function keep_address(state)
  state.address = {state.listener:address()}
end

--- A server; listen(accepted) makes its listener. Handler and options as for net.serve.
local function new(listen, handler, opts)
  local server = setmetatable({}, Server)
  local state = {
    handler = handler, limit = opts.max_connections or math.huge, tasks = {}, active = 0, accepted = 0,
    closed = core.Event(), pause = false, listener = false, address = false,
  }
  states[server] = state
  state.listener = listen(function(stream, err) accepted_or_closed(server, state, stream, err) end)
  local ok, err = pcall(keep_address, state)
  if not ok then
    state.listener:close()
    error(err, 0)
  end
  return server
end

--- server:address(): host (a numeric address), port; or the path of a Unix socket; also of a closed server.
function Server:address()
  check.self(self, Server, "address")
  return table.unpack(states[self].address)
end

--- server:close(): stops accepting; the handlers that run go on. Never waits; twice is fine.
function Server:close()
  check.self(self, Server, "close")
  local state = states[self]
  state.listener:close()
  if state.pause then state.pause:cancel() end
  state.closed:set()
end

--- server:is_closing(): boolean; true once it accepts no more.
function Server:is_closing()
  check.self(self, Server, "is_closing")
  return states[self].listener:is_closing()
end

--- Those that `own`, the calling task, can wait for: if it is a handler, one that waits in shutdown waits for it.
local function handlers(state, own)
  local tasks, is_handler = {}, state.tasks[own] ~= nil
  for task, what in pairs(state.tasks) do
    if task ~= own and not (is_handler and what == "waits") then tasks[#tasks + 1] = task end
  end
  return tasks
end

--- While a handler waits for the others.
local Waiting = {}

function Waiting:__close() self.tasks[self.own] = "handles" end

local function begin_waiting(tasks, own)
  if not tasks[own] then return nil end
  tasks[own] = "waits"
  return setmetatable({tasks = tasks, own = own}, Waiting)
end

--- server:shutdown(timeout?): stops accepting and waits for the handlers; those that still run after `timeout`
-- seconds (nil: however long it takes) are cancelled and waited for. A cancelled one has stopped accepting; the
-- handlers go on.
function Server:shutdown(timeout)
  check.self(self, Server, "shutdown")
  check.seconds(timeout, 1, "shutdown")
  self:close()
  local state, own = states[self], core.current_task()
  local tasks = handlers(state, own)
  if #tasks == 0 then return end
  local _ <close> = begin_waiting(state.tasks, own)
  local _, pending = core.wait(tasks, {timeout = timeout})
  for _, task in ipairs(pending) do task:cancel() end
  if #pending > 0 then core.wait(pending) end
end

--- server:serve_forever(): waits until the server is closed. Cancelled, or left with an error, it closes the server.
function Server:serve_forever()
  check.self(self, Server, "serve_forever")
  local _ <close> = setmetatable({}, {__close = function() self:close() end})
  states[self].closed:wait()
end

--- server:statistics(): a table of connections (whose handlers run), accepted (so far), max_connections (nil: no
-- limit) and serving (boolean).
function Server:statistics()
  check.self(self, Server, "statistics")
  local state = states[self]
  return {
    connections = state.active, accepted = state.accepted, serving = not state.listener:is_closing(),
    max_connections = state.limit < math.huge and state.limit or nil,
  }
end

--- Leaving the scope stops accepting, cancels the handlers and waits for them.
function Server:__close()
  self:close()
  local own = core.current_task()
  local tasks = handlers(states[self], own)
  for _, task in ipairs(tasks) do task:cancel() end
  if own and #tasks > 0 then core.wait(tasks) end
end

--- As messages have it: an IPv6 address in brackets, an abstract name (see unix(7)) with "@" for its zero.
local function address_text(host, port)
  if not port then return (host:gsub("^\0", "@")) end
  return (host:find(":") and "[%s]:%d" or "%s:%d"):format(host, port)
end

function Server:__tostring()
  local state = states[self]
  return ("<Server %s %s connections=%d>"):format(address_text(table.unpack(state.address)),
    state.listener:is_closing() and "closed" or "serving", state.active)
end

return new
