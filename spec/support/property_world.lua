--- What a random program runs in: its tasks, the calls that they are in, what strikes them, and the first violation.
--
-- A *call* is one operation that may wait. It stands in a *line*, the array of the unfinished calls of one kind on one
-- object in the order in which they began, from just before the operation until it returns or raises. What a call may
-- overtake and what has to come to it is judged by that order. A call is *excused* once its task was cancelled or its
-- deadline came: nothing has to come to it any more.
--
-- A *tick* is a point between two operations, in any of the tasks or in the main one. The strikes of a program (cancel
-- this task, let its deadline come, set this event, ...) are counted in ticks, so they come in any order with the
-- wake-ups of one turn.
local async = require "luawait"

local World = {}
World.__index = World

--- Seconds: a deadline that never comes. That a program leaves no timer behind is told by its ending long before.
World.FAR = 20

function World.new(program, trace)
  return setmetatable({
    program = program, trace = trace, log = {}, ticks = 0, steps = 0, progress = 0, next_strike = 1,
    procs = {}, subjects = {}, lines = {},
  }, World)
end

function World:note(...)
  if not self.trace then return end
  local task = async.current_task()
  local who = task and task:get_name() or "loop"
  self.log[#self.log + 1] = ("%4d %-6s %s"):format(self.ticks, who, (...):format(select(2, ...)))
end

--- Keeps the first violation; what comes after it may be its consequence. While the run cancels what is left, the
--- models do not know whom.
function World:fail(...)
  if self.failure or self.leaving then return end
  self.failure = (...):format(select(2, ...))
  self:note("VIOLATION: %s", self.failure)
end

function World:must(held, ...)
  if not held then self:fail(...) end
end

--- ---- calls ----

function World:line(name)
  local line = { name = name }
  self.lines[#self.lines + 1] = line
  return line
end

function World:move()
  self.steps = self.steps + 1
  self.progress = self.progress + 1
end

function World:enter(proc, line)
  self:move()
  local call = { proc = proc, line = line, start = self.steps, scopes = { table.unpack(proc.scopes) } }
  call.in_child = async.current_task() ~= proc.task
  call.excused = proc.task:cancelling() > 0 or async.current_task():cancelling() > 0
  line[#line + 1] = call
  proc.call = call
  self:note("%s ...", line.name)
  return call
end

local function any_expired(scopes)
  for _, scope in ipairs(scopes) do
    if scope:expired() then return true end
  end
  return false
end

function World.excused(_, call)
  call.excused = call.excused or any_expired(call.scopes)
  return call.excused
end

--- The call is over, well or not.
function World:leave(call)
  if call.left then return end
  self:move()
  call.left = true
  if call.proc.call == call then call.proc.call = nil end
  for i, other in ipairs(call.line) do
    if other == call then return table.remove(call.line, i) end
  end
end

--- The same call waits once more.
function World:enter_again(call)
  local again = self:enter(call.proc, call.line)
  for key in pairs(call) do call[key] = nil end
  for key, value in pairs(again) do call[key] = value end
  call.line[#call.line], call.proc.call = call, call
end

--- Has the call not had to wait?
function World:at_once(call) return self.steps == call.start end

--- The call has got what it waited for: all that began to wait before it have been served, or do not count.
-- `counts(other)` may tell which of these could have been. (What comes at once may overtake one that is woken already:
-- each kind has to tell by itself whether it may.)
function World:grant(call, counts)
  for _, other in ipairs(call.line) do
    if other == call or self:at_once(call) then break end
    if not self:excused(other) and (not counts or counts(other)) then
      self:fail("%s: task %d overtook task %d", call.line.name, call.proc.id, other.proc.id)
    end
  end
  self:must(not call.cancelled, "%s: the cancellation of task %d was lost", call.line.name, call.proc.id)
  call.got = true
  self:leave(call)
  self:note("%s: got", call.line.name)
end

--- The call has ended badly. Where it had been `woken` before, only a cancellation may do that, no deadline; a task
-- that it was made in is another matter, since that is cancelled by the deadline.
function World:may_lose(call, woken)
  self:must(not woken or call.struck or call.in_child, "%s: task %d was woken before its deadline", call.line.name,
    call.proc.id)
end

--- The calls of a line that nothing excuses, and of these those for which `which` holds.
function World:count(line, which)
  local n = 0
  for _, call in ipairs(line) do
    if not self:excused(call) and (not which or which(call)) then n = n + 1 end
  end
  return n
end

--- ---- the ways of waiting ----

local function in_scope(make)
  return function(proc, body)
    local scope <close> = make()
    table.insert(proc.scopes, scope)
    local ok, err = pcall(body)
    table.remove(proc.scopes)
    if not ok then error(err, 0) end
  end
end

local far = in_scope(function() return async.timeout(World.FAR) end)

World.deadlines = {
  none = function(_, body) return body() end,
  far = function(_, body) return async.timeout(World.FAR, body) end,
  wait_for = function(_, body) return async.wait_for(body, World.FAR) end,
  wait_for_zero = function(_, body) return async.wait_for(body, 0) end,
  zero = in_scope(function() return async.timeout(0) end),
  past = in_scope(function() return async.timeout_at(async.time() - 1) end),
  scope = far,
  two_scopes = function(proc, body) return far(proc, function() return far(proc, body) end) end,
}

local comes = { wait_for_zero = true, zero = true, past = true, scope = true, two_scopes = true }

local function is_cancelled(err) return async.errors.is(err, async.CancelledError) end

-- A child hands an error over as its result: if its parent is cancelled meanwhile, nobody is left to retrieve it.
local function in_child(body)
  return async.create_task(function()
    local ok, err = pcall(body)
    if not ok and is_cancelled(err) then error(err, 0) end
    return not ok and err
  end)
end

local function rethrow(err)
  if err then error(err, 0) end
end

World.ways = {
  call = function(body) return body() end,
  task = function(body) return rethrow(async.await(in_child(body))) end,
  gather = function(body) return rethrow((async.gather(in_child(body)))) end,
  coroutine = function(body) return async.await(async(body)()) end,
}

--- Makes one call of `proc` in `line` as `op` says (op.deadline, op.way). fn(call) does it, and calls grant(call) as
-- soon as it has what it waits for; refused(call, err) is told if it gets nothing. Returns the call (nil: it has not
-- begun) and the error that came out; an error may come although the call has got what it wanted.
function World:perform(proc, op, line, fn, refused)
  local call
  local function body()
    call = self:enter(proc, line)
    local ok, err = pcall(fn, call)
    if not call.left then
      self:leave(call)
      self:note("%s: %s", line.name, ok and "nothing" or tostring(err))
      if refused then refused(call, err) end
    end
    if not ok then error(err, 0) end
  end
  local way, deadline = self.ways[op.way or "call"], self.deadlines[op.deadline or "none"]
  local ok, err = pcall(deadline, proc, function() return way(body) end)
  return call, not ok and err or nil
end

--- ---- tasks ----

--- Gives the others a few turns.
function World:hold(turns)
  for _ = 1, turns or 0 do
    async.sleep(0)
    self:tick()
  end
end

-- An operation has raised: ends the task, or lets it go on with the next one, which nothing cancels then: the requests
-- that are left (of a cancel that a deadline has covered up, say) are taken back. What a scope further out has caused
-- is for that one.
function World:interrupted(proc, op, err)
  local by_scope = any_expired(proc.scopes)
  if is_cancelled(err) then
    self:must(by_scope or proc.cancels > 0, "task %d was cancelled by nobody", proc.id)
    if by_scope or not op.swallow or self.leaving then error(err, 0) end
  elseif async.errors.is(err, async.TimeoutError) then
    self:must(comes[op.deadline] or op.wait and comes[op.wait.deadline], "task %d: a deadline came too early", proc.id)
    if by_scope then error(err, 0) end
  else
    self:fail("task %d: unexpected error: %s", proc.id, tostring(err))
  end
  while proc.task:cancelling() > 0 do proc.task:uncancel() end
end

function World:perform_all(proc, ops)
  for _, op in ipairs(ops or {}) do
    self:tick()
    if self.failure or self.leaving then return end
    local subject = self.subjects[op.subject]
    local ok, err = pcall(subject[op.name], subject, proc, op)
    if not ok then self:interrupted(proc, op, err) end
  end
  self:tick()
end

function World:start(id, ops)
  local proc = { id = id, scopes = {}, cancels = 0 }
  self.procs[id] = proc
  proc.task = async.create_task(function() self:perform_all(proc, ops) end, { name = "task " .. id })
end

function World:all_done()
  for _, proc in ipairs(self.procs) do
    if not proc.task:done() then return false end
  end
  return true
end

--- ---- strikes ----

local strikes = {}

function strikes.cancel(_, proc)
  if not proc.task:cancel() then return end
  proc.cancels = proc.cancels + 1
  local call = proc.call
  if not call then return end
  call.excused, call.cancelled, call.struck = true, true, true
end

function strikes.cancel_twice(world, proc)
  strikes.cancel(world, proc)
  strikes.cancel(world, proc)
end

-- A wake-up that is on its way may go through or be lost to the cancellation: both are right.
function strikes.cancel_uncancel(world, proc)
  strikes.cancel(world, proc)
  proc.task:uncancel()
  if proc.call then proc.call.cancelled = false end
end

function strikes.expire(_, proc)
  local scope = proc.scopes[#proc.scopes]
  if scope and not scope:expired() then scope:reschedule(async.time()) end
end

function strikes.expire_outer(_, proc)
  local scope = proc.scopes[1]
  if scope and not scope:expired() then scope:reschedule(async.time() - 1) end
end

-- By way of the timers: comes when all else waits.
function strikes.expire_soon(world, proc)
  local scope = proc.scopes[#proc.scopes]
  if not scope or scope:expired() then return end
  world.timer_until = async.time() + 1e-4
  scope:reschedule(world.timer_until)
end

function strikes.act(world, _, strike)
  local subject = world.subjects[strike.act.subject]
  subject[strike.act.name](subject, nil, strike.act)
end

World.strikes = strikes

-- Whom a strike is for: the task of the n-th call that waits, or a fixed one.
function World:target(strike)
  local calls = {}
  if strike.waiting then
    for _, line in ipairs(self.lines) do table.move(line, 1, #line, #calls + 1, calls) end
  end
  local call = calls[(strike.waiting or 1) % (#calls + 1)]
  return call and call.proc or self.procs[strike.task]
end

function World:strike(strike)
  self:move()
  local proc = self:target(strike)
  if strike.name ~= "act" and (not proc or proc.task:done()) then return end
  self:note("strike: %s %s", strike.name, strike.act and strike.act.name or "task " .. proc.id)
  strikes[strike.name](self, proc, strike)
end

function World:next_strike_now()
  local strike = self.program.strikes[self.next_strike]
  if not strike then return false end
  self.next_strike = self.next_strike + 1
  if strike.soon then
    async.call_soon(function() self:strike(strike) end)
  else
    self:strike(strike)
  end
  return true
end

function World:check(method)
  for _, subject in ipairs(self.subjects) do subject[method](subject) end
end

--- A tick of the main task is no progress.
function World:pass()
  self.ticks = self.ticks + 1
  self.steps = self.steps + 1
  local list = self.program.strikes
  while list[self.next_strike] and list[self.next_strike].at <= self.ticks do self:next_strike_now() end
  self:check("check")
end

function World:tick()
  self.progress = self.progress + 1
  self:pass()
end

return World
