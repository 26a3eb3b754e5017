--- luawait.signal: signals of the system as something to wait for. In Lua on the watches of io/signal.c, which call a
-- function on the loop for every signal that comes.
--
-- While the program watches SIGINT itself, run's own handling of it rests: as with asyncio's add_signal_handler.
local core = require "luawait.core"
local check = require "luawait.check"

local signal = {}

local uncatchable = {
  SIGKILL = "cannot be caught", SIGSTOP = "cannot be caught",
  -- The faulting instruction would be run again, and again.
  SIGSEGV = "tells of a fault of the program itself", SIGBUS = "tells of a fault of the program itself",
  SIGFPE = "tells of a fault of the program itself", SIGILL = "tells of a fault of the program itself",
}

--- What is wrong with the name of a signal, or nil.
local function complaint(name)
  if type(name) ~= "string" then return ("name of a signal expected, got %s"):format(type(name)) end
  if uncatchable[name] then return ("%s %s"):format(name, uncatchable[name]) end
  if not core.signal.number(name) then return ("unknown signal '%s'"):format(name) end
end

local function check_names(caller, first, ...)
  local names = {first, ...}
  if first == nil then check.fail(1, caller, "name of a signal expected, got no value") end
  for i = 1, select("#", first, ...) do
    local wrong = complaint(names[i])
    if wrong then check.fail(i, caller, wrong) end
  end
  return names
end

local Listener = {__name = "Listener"}
Listener.__index = Listener

--- A signal that comes again before anybody has taken it counts once, as the system itself does it.
local function watch(self, name)
  local pending, queue = self.pending, self.queue
  return core.signal.watch(core.signal.number(name), function()
    if pending[name] then return end
    queue:put_nowait(name)
    pending[name] = true
  end)
end

local function stop(self)
  for _, each in pairs(self.watches) do each:close() end
  self.queue:shutdown(true)
end

--- It becomes a Listener last: then it is finalized before its parts when the state is closed.
local function new_listener(names)
  local queue = core.queue_for("a signal: " .. table.concat(names, " "))
  local self = {queue = queue, wait = (queue:iter()), pending = {}, watches = {}}
  local _ <close> = setmetatable({}, {__close = function(_, err) if err then stop(self) end end})
  for _, name in ipairs(names) do
    self.watches[name] = self.watches[name] or watch(self, name)
  end
  return setmetatable(self, Listener)
end

local function is_closed(self)
  return select(2, next(self.watches)):is_closing()
end

--- The next signal; nil when the listener is closed, be it by the end of the run.
function Listener:__call()
  if is_closed(self) then return nil end
  local name = self.wait(self.queue)
  if name then self.pending[name] = nil end
  return name
end

--- listener:close(): listens no more; whoever waits for the next signal gets nil. Never waits; twice is fine.
function Listener:close()
  check.self(self, Listener, "close")
  stop(self)
end

--- A <close> variable, and a for loop that is left, close it; so does the collector.
Listener.__close, Listener.__gc = Listener.close, Listener.close

function Listener:__tostring()
  local names = {}
  for name in pairs(self.watches) do names[#names + 1] = name end
  table.sort(names)
  return ("<Listener %s %s>"):format(table.concat(names, " "), is_closed(self) and "closed" or "open")
end

--- signal.listen(name...): an iterator of the names of the signals that come, from now on. Each step waits until one
-- of them has come since the last step; one that came several times meanwhile is given once. Until it is closed the
-- signals do nothing else. Raises OSError. A cancelled step loses no signal. After trio's open_signal_receiver.
function signal.listen(...)
  local listener = new_listener(check_names("listen", ...))
  return listener, nil, nil, listener
end

--- signal.wait(name...): waits for the first of these signals, and returns its name. One that comes while nobody
-- waits or listens does what it does by default: use listen to wait repeatedly. Raises OSError. A cancelled one leaves
-- nothing behind.
function signal.wait(...)
  local listener <close> = new_listener(check_names("wait", ...))
  return listener()
end

local Handler = {__name = "Handler"}
Handler.__index = Handler

--- handler:close(): the function is called no more. Never waits; twice is fine.
function Handler:close()
  check.self(self, Handler, "close")
  self.watch:close()
end

Handler.__close = Handler.close

function Handler:__tostring()
  return ("<Handler %s %s>"):format(self.name, self.watch:is_closing() and "closed" or "open")
end

local function call(self, fn, name)
  if not self.watch:is_closing() then return fn(name) end
end

--- signal.handle(name, fn): calls fn(name) on the loop each time the signal has come, as call_soon would: outside any
-- task, an error goes to the exception handler. Returns a handler: close() ends it, as does the end of the run, but not
-- dropping it. Raises OSError. After asyncio's add_signal_handler.
function signal.handle(name, fn)
  check_names("handle", name)
  check.callable(fn, 2, "handle")
  local self = setmetatable({name = name}, Handler)
  self.watch = core.signal.watch(core.signal.number(name), function() core.call_soon(call, self, fn, name) end)
  return self
end

return signal
