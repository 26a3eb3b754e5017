--- Lock, Semaphore, BoundedSemaphore and Event in a random program: what may be done with each, and what must hold.
--
-- A kind has new(rng): the parameters of one object, op(rng, spec): an operation of a task, act(rng, spec): something
-- that does not wait and may strike anywhere. An object in a running program (make(world, spec)) has the operations and
-- acts as methods, and check() (must hold at any time), quiet() (must hold when every task waits), drain() (does what
-- those wait for that are left) and finish() (must hold in the end).
local async = require "luawait"

local locks = {}

--- ---- what can be acquired and released: `capacity` at once ----

local Guard = {}
Guard.__index = Guard
locks.Guard = Guard

local forms = { "plain", "plain", "with", "close" }

function locks.section(rng, spec, name)
  local op = { subject = spec.id, name = name or "section", form = rng:pick(forms), hold = rng(4) - 1 }
  op.deadline, op.way, op.swallow = rng:deadline(), rng:way(), rng:chance(3)
  return op
end

-- The running task has got it: `call` is its call, nil if it waits for something else (a condition).
function Guard:taken(call)
  self.held = self.held + 1
  self.world:must(self.held <= self.capacity, "%s: %d hold it, %d may", self.name, self.held, self.capacity)
  if call then
    self.world:must(not self.world:at_once(call) or call.waiters == 0, "%s: task %d overtook %d that wait", self.name,
      call.proc.id, call.waiters)
    self.world:grant(call)
  end
  if not self.is_lock then return end
  local statistics = self:statistics()
  self.world:must(statistics.locked, "%s: is not locked for the one who has got it", self.name)
  self.world:must(rawequal(statistics.holder, async.current_task()), "%s: does not know its holder", self.name)
end

function Guard:statistics() return self.object:statistics() end

function Guard:left()
  self.held = self.held - 1
end

-- What is done while it is held. Whatever ends it, the model has released before the object does.
function Guard:inside(proc, op)
  local ok, err = pcall(function()
    self.world:hold(op.hold)
    if self.middle then self:middle(proc, op) end
    self.world:perform_all(proc, op.body)
  end)
  self:left()
  if not ok then error(err, 0) end
end

local enter = {}

function enter.plain(self, object, call)
  local held = object:acquire()
  self.world:must(rawequal(held, self.object or held), "%s: acquire returned something else", self.name)
  self:taken(call)
end

enter["with"] = function(self, object, call, proc, op)
  local result = object:with(function(...)
    self:taken(call)
    self:inside(proc, op)
    return ...
  end, call)
  self.world:must(rawequal(result, call), "%s: with lost a result", self.name)
end

function enter.close(self, object, call, proc, op)
  local _ <close> = object:acquire()
  self:taken(call)
  self:inside(proc, op)
end

--- Acquires (through `object`), holds, releases.
function Guard:section(proc, op, object)
  object = object or self.object
  local call, err = self.world:perform(proc, op, self.line, function(call)
    call.waiters = self:statistics().waiters
    enter[op.form](self, object, call, proc, op)
  end)
  if call and call.got and op.form == "plain" then
    local ok, inner = true, nil
    if err then self:left() else ok, inner = pcall(self.inside, self, proc, op) end
    object:release()
    if not ok then err = inner end
  end
  if err then error(err, 0) end
end

--- ---- Lock ----

local Lock = setmetatable({}, { __index = Guard })
Lock.__index = Lock
locks.Lock = Lock

function Lock.new() return {} end

function Lock.op(rng, spec) return locks.section(rng, spec) end

function Lock.act(_, spec) return { subject = spec.id, name = "misuse" } end

function Lock.make(world, spec)
  local name = "lock " .. spec.id
  return setmetatable({ world = world, name = name, object = async.Lock(), capacity = 1, held = 0, is_lock = true,
                        line = world:line(name) }, Lock)
end

function Lock:misuse()
  if self.object:locked() then return end
  local ok, err = pcall(self.object.release, self.object)
  self.world:must(not ok and err.name == "RuntimeError", "%s: was released though nobody holds it", self.name)
end

function Lock:check()
  local statistics = self:statistics()
  self.world:must(statistics.locked == self.object:locked(), "%s: statistics differ", self.name)
  if statistics.locked then return end
  self.world:must(self.held == 0, "%s: is unlocked while it is held", self.name)
  self.world:must(statistics.waiters == 0, "%s: is unlocked, and %d wait for it", self.name, statistics.waiters)
end

-- `others`: tasks that wait for it without a call in the line.
function Lock:quiet(others)
  local statistics = self:statistics()
  local waiting = #self.line + (others or 0)
  self.world:must(statistics.locked == (self.held == 1), "%s: locked for nobody", self.name)
  self.world:must(statistics.waiters == waiting, "%s: %d wait, it counts %d", self.name, waiting, statistics.waiters)
end

function Lock:drain() return self end

function Lock:finish()
  self.world:must(not self.object:locked(), "%s: stays locked", self.name)
  self.world:must(self:statistics().holder == nil, "%s: keeps its holder", self.name)
end

--- ---- Semaphore, BoundedSemaphore ----

local Semaphore = setmetatable({}, { __index = Guard })
Semaphore.__index = Semaphore
locks.Semaphore = Semaphore

function Semaphore.new(rng)
  local bounded = rng:chance(2)
  return { bounded = bounded, value = bounded and rng(3) or rng(4) - 1 }
end

function Semaphore.op(rng, spec)
  local op = locks.section(rng, spec)
  if rng:chance(4) then op.name = "take" end
  return op
end

function Semaphore.act(rng, spec)
  return { subject = spec.id, name = rng:chance(4) and "extra" or "give" }
end

function Semaphore.make(world, spec)
  local name = (spec.bounded and "bounded semaphore " or "semaphore ") .. spec.id
  return setmetatable({
    world = world, name = name, line = world:line(name), bounded = spec.bounded, capacity = spec.value, held = 0,
    loose = 0, object = (spec.bounded and async.BoundedSemaphore or async.Semaphore)(spec.value),
  }, Semaphore)
end

-- Acquires, and leaves the permit to give().
function Semaphore:take(proc, op)
  local call, err = self.world:perform(proc, op, self.line, function(call)
    call.waiters = self:statistics().waiters
    enter.plain(self, self.object, call)
  end)
  if call and call.got then self.loose = self.loose + 1 end
  if err then error(err, 0) end
end

function Semaphore:give()
  if self.loose == 0 then return end
  self.loose = self.loose - 1
  self:left()
  self.object:release()
end

function Semaphore:extra()
  if not self.bounded then
    self.capacity = self.capacity + 1
    return self.object:release()
  end
  if self.object:value() < self.capacity then return end
  local ok, err = pcall(self.object.release, self.object)
  self.world:must(not ok and err.name == "ValueError", "%s: took a permit too many", self.name)
end

function Semaphore:check()
  local value, waiters = self.object:value(), self.object:statistics().waiters
  self.world:must(value >= 0 and value + self.held <= self.capacity, "%s: %d permits free, %d in use, of %d", self.name,
    value, self.held, self.capacity)
  self.world:must(value == 0 or waiters == 0, "%s: %d permits free, and %d wait", self.name, value, waiters)
  self.world:must(self.object:locked() == (value == 0), "%s: locked() is wrong", self.name)
end

function Semaphore:quiet()
  local value, waiters = self.object:value(), self.object:statistics().waiters
  self.world:must(value + self.held == self.capacity, "%s: %d permits free, %d in use, of %d", self.name, value,
    self.held, self.capacity)
  self.world:must(waiters == #self.line, "%s: %d wait, it counts %d", self.name, #self.line, waiters)
end

function Semaphore:drain()
  while self.loose > 0 do self:give() end
  if self.capacity == 0 then self:extra() end
end

function Semaphore:finish()
  while self.loose > 0 do self:give() end
  self.world:must(self.object:value() == self.capacity, "%s: %d permits of %d in the end", self.name,
    self.object:value(), self.capacity)
end

--- ---- Event ----

local Event = {}
Event.__index = Event
locks.Event = Event

function Event.new() return {} end

function Event.op(rng, spec)
  local op = { subject = spec.id, name = rng:pick({ "wait", "wait", "wait", "set", "clear", "pulse" }) }
  op.deadline, op.way, op.swallow = rng:deadline(), rng:way(), rng:chance(3)
  return op
end

function Event.act(rng, spec) return { subject = spec.id, name = rng:pick({ "set", "clear", "pulse" }) } end

function Event.make(world, spec)
  local name = "event " .. spec.id
  return setmetatable({ world = world, name = name, object = async.Event(), is_set = false, line = world:line(name) },
    Event)
end

local function is_released(call) return call.released end

function Event:wait(proc, op)
  local _, err = self.world:perform(proc, op, self.line, function(call)
    local was_set = self.is_set
    self.world:must(self.object:wait() == true, "%s: wait does not return true", self.name)
    self.world:must(self.world:at_once(call) == was_set, "%s: was set: %s, waited: %s", self.name, tostring(was_set),
      tostring(not self.world:at_once(call)))
    self.world:must(was_set or call.released, "%s: task %d was woken though it was not set", self.name, proc.id)
    self.world:grant(call, is_released)
  end, function(call) self.world:may_lose(call, call.released) end)
  if err then error(err, 0) end
end

function Event:set()
  self.is_set = true
  for _, call in ipairs(self.line) do call.released = call.released or not self.world:excused(call) end
  self.object:set()
end

function Event:clear()
  self.is_set = false
  self.object:clear()
end

function Event:pulse()
  self:set()
  self:clear()
end

function Event:check()
  local statistics = self.object:statistics()
  self.world:must(self.object:is_set() == self.is_set and statistics.is_set == self.is_set, "%s: is_set is wrong",
    self.name)
  self.world:must(not self.is_set or statistics.waiters == 0, "%s: is set, and %d wait", self.name, statistics.waiters)
end

function Event:quiet()
  local waiters = self.object:statistics().waiters
  self.world:must(self.world:count(self.line, is_released) == 0, "%s: a waiter was left behind", self.name)
  self.world:must(waiters == #self.line, "%s: %d wait, it counts %d", self.name, #self.line, waiters)
end

function Event:drain() self:set() end

function Event:finish()
  self.world:must(self.object:statistics().waiters == 0, "%s: waiters are left", self.name)
end

return locks
