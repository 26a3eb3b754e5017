--- Condition (one or two on one lock) and Barrier in a random program. What a kind is: see property_locks.lua.
local async = require "luawait"
local locks = require "spec.support.property_locks"

local meetings = {}

--- ---- Condition ----

local Condition = setmetatable({}, { __index = locks.Lock })
Condition.__index = Condition
meetings.Condition = Condition

local function is_notified(call) return call.notified end
local function is_not_notified(call) return not call.notified end

function Condition.new(rng)
  local n = rng(2)
  return { conditions = n, own_lock = n == 1 and rng:chance(2) or nil }
end

function Condition.op(rng, spec)
  local op = locks.section(rng, spec)
  op.does = rng:pick({ "wait", "wait", "wait", "wait_for", "notify", "notify", "notify_all" })
  op.condition, op.through = rng(spec.conditions), rng(spec.conditions + 1)
  if op.does == "wait" or op.does == "wait_for" then op.wait = { deadline = rng:deadline(), way = rng:way() } end
  if op.does == "notify" then op.n = rng(3) - 1 end
  op.flag = rng:pick({ true, true, false })
  return op
end

function Condition.act(rng, spec)
  return { subject = spec.id, name = "notify_now", condition = rng(spec.conditions), n = rng:chance(3) and 2 or 1 }
end

function Condition.make(world, spec)
  local name = "lock of condition " .. spec.id
  local self = setmetatable({ world = world, name = name, capacity = 1, held = 0, is_lock = true,
                              line = world:line(name), conditions = {}, flags = {} }, Condition)
  local lock = not spec.own_lock and async.Lock() or nil
  for i = 1, spec.conditions do
    name = ("condition %d.%d"):format(spec.id, i)
    self.conditions[i] = { name = name, object = async.Condition(lock), line = world:line(name), flag = false }
  end
  self.object = lock
  return self
end

function Condition:statistics() return self.conditions[1].object:statistics().lock end

-- Through which object the lock is acquired in this operation.
function Condition:section(proc, op)
  local through = self.conditions[op.through]
  return locks.Lock.section(self, proc, op, through and through.object or self.object or self.conditions[1].object)
end

function Condition:middle(proc, op)
  local condition = self.conditions[op.condition]
  if op.does == "notify" or op.does == "notify_all" then
    condition.flag = op.flag
    self:notify(condition, op.n)
  else
    self[op.does](self, proc, op, condition)
  end
end

local function first_waiters_are_notified(world, condition, n)
  for _, call in ipairs(condition.line) do
    if n == 0 then return end
    if not call.notified and not world:excused(call) then
      call.notified, n = true, n - 1
    end
  end
end

-- n: nil for all
function Condition:notify(condition, n)
  first_waiters_are_notified(self.world, condition, n or math.huge)
  if n then condition.object:notify(n) else condition.object:notify_all() end
end

-- The call's wait has ended well: the lock is held again.
function Condition:woken(call)
  self:taken()
  self.world:must(call.notified, "%s: task %d was woken by nobody", call.line.name, call.proc.id)
  self.world:grant(call, is_notified)
end

-- It has ended otherwise: the lock is held all the same, and a notification goes to the next.
function Condition:refused(condition)
  return function(call)
    self:taken()
    if call.notified then first_waiters_are_notified(self.world, condition, 1) end
  end
end

function Condition:wait(proc, op, condition)
  local _, err = self.world:perform(proc, op.wait, condition.line, function(call)
    self:left()
    self.world:must(condition.object:wait() == true, "%s: wait does not return true", condition.name)
    self:woken(call)
  end, self:refused(condition))
  if err then error(err, 0) end
end

function Condition:wait_for(proc, op, condition)
  local _, err = self.world:perform(proc, op.wait, condition.line, function(call)
    local waited = false
    local function predicate()
      if waited then
        self:woken(call)
        if not condition.flag then self.world:enter_again(call) end
      elseif condition.flag then
        self.world:leave(call)
      end
      waited = true
      if not condition.flag then self:left() end
      return condition.flag
    end
    self.world:must(condition.object:wait_for(predicate) == true, "%s: lost the predicate's result", condition.name)
  end, self:refused(condition))
  if err then error(err, 0) end
end

function Condition:notify_now(_, act)
  local condition = self.conditions[act.condition]
  if self.held == 1 then return self:notify(condition, act.n) end
  if condition.object:locked() then return end -- it is on its way to the next
  local ok, err = pcall(condition.object.notify, condition.object)
  self.world:must(not ok and err.name == "RuntimeError", "%s: notifies without the lock", condition.name)
end

function Condition:check()
  local statistics = self:statistics()
  for _, condition in ipairs(self.conditions) do
    local waiting, waiters = self.world:count(condition.line, is_not_notified), condition.object:statistics().waiters
    self.world:must(waiting == waiters, "%s: %d wait, it counts %d", condition.name, waiting, waiters)
    self.world:must(condition.object:locked() == statistics.locked, "%s: locked() is wrong", condition.name)
  end
  if statistics.locked then return end
  self.world:must(self.held == 0, "%s: is unlocked while it is held", self.name)
  self.world:must(statistics.waiters == 0, "%s: is unlocked, and %d wait for it", self.name, statistics.waiters)
end

function Condition:quiet()
  local statistics, waiting = self:statistics(), #self.line
  for _, condition in ipairs(self.conditions) do
    waiting = waiting + #condition.line - self.world:count(condition.line, is_not_notified)
  end
  self.world:must(statistics.locked == (self.held == 1), "%s: locked for nobody", self.name)
  self.world:must(statistics.waiters == waiting, "%s: %d wait, it counts %d", self.name, waiting, statistics.waiters)
end

function Condition:drain()
  local object = self.conditions[1].object
  if object:locked() then return end
  object:acquire()
  for _, condition in ipairs(self.conditions) do
    condition.flag = true
    self:notify(condition)
  end
  object:release()
end

function Condition:finish()
  self.world:must(not self.conditions[1].object:locked(), "%s: stays locked", self.name)
  self.world:must(self:statistics().holder == nil, "%s: keeps its holder", self.name)
end

--- ---- Barrier ----

local Barrier = {}
Barrier.__index = Barrier
meetings.Barrier = Barrier

local function is_let_through(call) return call.index end
local function is_settled(call) return call.index or call.thrown_out end
local function is_not_settled(call) return not is_settled(call) end

function Barrier.new(rng) return { parties = rng(4) } end

function Barrier.op(rng, spec)
  local op = { subject = spec.id, name = "wait", deadline = rng:deadline(), way = rng:way(), swallow = rng:chance(3) }
  if rng:chance(12) then op.name = rng:pick({ "reset", "abort" }) end
  return op
end

function Barrier.act(rng, spec)
  return { subject = spec.id, name = rng:pick({ "reset", "reset", "abort" }) }
end

function Barrier.make(world, spec)
  local name = "barrier " .. spec.id
  return setmetatable({ world = world, name = name, object = async.Barrier(spec.parties), parties = spec.parties,
                        broken = false, line = world:line(name) }, Barrier)
end

-- `call` has come: if it is the last, all may go.
function Barrier:arrive(call)
  call.thrown_out = self.broken
  if self.broken then return end
  local index = 0
  local group = {}
  for _, other in ipairs(self.line) do
    if other ~= call and not is_settled(other) and not self.world:excused(other) then group[#group + 1] = other end
  end
  if #group + 1 < self.parties then return end
  group[#group + 1] = call
  for _, member in ipairs(group) do
    index = index + 1
    member.index = index
  end
end

function Barrier:wait(proc, op)
  local call, err = self.world:perform(proc, op, self.line, function(call)
    self:arrive(call)
    local index = self.object:wait()
    self.world:must(call.index == index, "%s: task %d got index %s, not %s", self.name, proc.id, tostring(index),
      tostring(call.index))
    self.world:grant(call, is_let_through)
  end, function(call) self.world:may_lose(call, call.index) end)
  if call and not call.got and async.errors.is(err, async.BrokenBarrierError) then
    self.world:must(call.thrown_out, "%s: task %d was thrown out by nobody", self.name, proc.id)
  elseif err then
    error(err, 0)
  end
end

function Barrier:throw_out()
  for _, call in ipairs(self.line) do
    if not call.index and not self.world:excused(call) then call.thrown_out = true end
  end
end

function Barrier:reset()
  self:throw_out()
  self.broken = false
  self.object:reset()
end

function Barrier:abort()
  self:throw_out()
  self.broken = true
  self.object:abort()
end

function Barrier:check()
  local waiting, statistics = self.world:count(self.line, is_not_settled), self.object:statistics()
  self.world:must(self.object:broken() == self.broken and statistics.broken == self.broken, "%s: broken() is wrong",
    self.name)
  self.world:must(self.object:n_waiting() == waiting and statistics.waiters == waiting, "%s: %d wait, it counts %d, %d",
    self.name, waiting, self.object:n_waiting(), statistics.waiters)
end

function Barrier:quiet()
  local left = #self.line - self.world:count(self.line, is_not_settled)
  self.world:must(left == 0, "%s: %d are left behind", self.name, left)
end

function Barrier:drain() self:abort() end

function Barrier:finish()
  self.world:must(self.object:n_waiting() == 0, "%s: waiters are left", self.name)
end

return meetings
