--- Structured concurrency: async.task_group and async.TaskGroup, after asyncio's taskgroups.py (3.13).
local core = require "luawait.core"
local check = require "luawait.check"
local await = require "luawait.await"
local errors = core.errors
local is, try = errors.is, core.try

local group = {}

local TaskGroup = {__name = "TaskGroup"}
TaskGroup.__index = TaskGroup

-- States of a group. OPEN takes new tasks; ENDING cancels those it has; ENDED is left.
local OPEN, ENDING, ENDED = "open", "ending", "ended"

--- A group of the current task, to be held in a <close> variable: leaving the block waits for all its tasks.
function group.TaskGroup()
  local parent = core.current_task()
  if not parent then error(errors.RuntimeError("TaskGroup outside a task"), 2) end
  return setmetatable({
    parent = parent, state = OPEN, tasks = {}, unfinished = 0, errors = {},
    requests = parent:cancelling(), -- to cancel the parent, when the group was entered
  }, TaskGroup)
end

local function end_tasks(self)
  if self.state ~= OPEN then return end
  self.state = ENDING
  local tasks = {}
  for task in pairs(self.tasks) do tasks[#tasks + 1] = task end
  table.sort(tasks, function(a, b) return self.tasks[a] < self.tasks[b] end)
  for _, task in ipairs(tasks) do task:cancel() end
end

--- Interrupts the body, if it is what the parent is in.
local function interrupt_body(self)
  if self.leaving or self.interrupted then return end
  self.interrupted = true
  self.parent:cancel()
end

local function task_done(self, task)
  self.tasks[task] = nil
  self.unfinished = self.unfinished - 1
  if not task:cancelled() then
    local err = task:exception()
    if err ~= nil then
      self.errors[#self.errors + 1] = err
      if self.state == OPEN then
        end_tasks(self)
        interrupt_body(self)
      end
    end
  end
  if self.unfinished == 0 and self.empty and not self.empty:done() then self.empty:set_result() end
end

--- Creates a task in the group; options as for async.create_task. RuntimeError when the group has ended or is being
-- cancelled.
-- @return Task
function TaskGroup:create_task(awaitable, opts)
  check.awaitable(awaitable, 1, "create_task")
  check.options(opts, 2, "create_task")
  if self.state ~= OPEN then
    core.discard(awaitable)
    local why = self.state == ENDED and "has ended" or "is being cancelled"
    error(errors.RuntimeError("the task group " .. why), 2)
  end
  local task = core.create_task(awaitable, opts)
  self.made = (self.made or 0) + 1
  self.tasks[task] = self.made
  self.unfinished = self.unfinished + 1
  task:add_done_callback(function() task_done(self, task) end)
  return task
end

--- Cancels the tasks, and in the task_group(fn) form the body; the group then ends without an error.
-- After CPython 3.15's TaskGroup.cancel.
function TaskGroup:cancel()
  if self.state == ENDED then return end
  end_tasks(self)
  if self.has_body then interrupt_body(self) end
end

--- Waits until no task is left. A cancellation of the parent meanwhile cancels the tasks, and is returned.
local function drain(self)
  local cancelled
  while self.unfinished > 0 do
    self.empty = core.Future()
    local ok, err = try(await, self.empty)
    if not ok then
      if not is(err, errors.CancelledError) then error(err, 0) end
      cancelled = cancelled or err
      end_tasks(self)
    end
  end
  return cancelled
end

local function raise_errors(self)
  -- a cancellation from outside that the group's error takes the place of is delivered at the parent's next wait
  if self.parent:cancelling() > self.requests then
    self.parent:uncancel()
    self.parent:cancel()
  end
  local count = #self.errors
  error(errors.ExceptionGroup(("%d error%s in a task group: %s"):format(
    count, count == 1 and "" or "s", core.text(self.errors[1])), {errors = self.errors}), 0)
end

--- Leaves the group: waits for the tasks, and raises what is to be raised. `err` is the body's error, or nil.
local function leave(self, err)
  local cancelled = is(err, errors.CancelledError) and err or nil
  self.leaving = true
  if err ~= nil then end_tasks(self) end
  local interruption = drain(self)
  cancelled = cancelled or interruption
  self.state = ENDED
  if self.interrupted and self.parent:uncancel() <= self.requests then cancelled = nil end
  if err ~= nil and not is(err, errors.CancelledError) then self.errors[#self.errors + 1] = err end
  if #self.errors > 0 then raise_errors(self) end
  if cancelled then error(cancelled, 0) end
end

function TaskGroup:__close(err) leave(self, err) end

function TaskGroup:__tostring()
  return ("<TaskGroup %s tasks=%d errors=%d>"):format(self.state, self.unfinished, #self.errors)
end

local function finish(self, ok, ...)
  if ok then
    leave(self)
    return ...
  end
  leave(self, (...))
end

--- task_group(fn): runs fn(group) in this task, then waits for the group's tasks; returns what fn returned. The
-- first failure of a task cancels the others and interrupts fn; then ExceptionGroup is raised, with all errors in
-- `errors`, in the order in which they came, that of fn last.
function group.task_group(fn)
  check.callable(fn, 1, "task_group")
  local self = group.TaskGroup()
  self.has_body = true
  return finish(self, try(fn, self))
end

return group
