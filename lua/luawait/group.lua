--- Structured concurrency: async.task_group and async.TaskGroup, after asyncio's taskgroups.py (3.13).
local core = require "luawait.core"
local check = require "luawait.check"
local errors = core.errors
local is, try, try_after = errors.is, core.try, core.try_after

local group = {}

local task_options = {name = "string"}

local TaskGroup = {__name = "TaskGroup"}
TaskGroup.__index = TaskGroup

-- States of a group. OPEN takes new tasks; ENDING cancels those it has; ENDED is left.
local OPEN, ENDING, ENDED = "open", "ending", "ended"

--- A group of the current task, to be held in a <close> variable: leaving the block waits for all its tasks.
function group.TaskGroup()
  local parent = core.current_task()
  if not parent then error(errors.RuntimeError("TaskGroup outside a task"), 2) end
  return setmetatable({
    parent = parent, state = OPEN, errors = {},
    tasks = {}, made = 0, -- number -> task that was not seen to be done; numbers given so far
    requests = parent:cancelling(), -- to cancel the parent, when the group was entered
  }, TaskGroup)
end

--- Array of the tasks that were not seen to be done, in the order in which they were made.
local function unseen(self)
  local list, tasks = {}, self.tasks
  for number = 1, self.made do list[#list + 1] = tasks[number] end
  return list
end

local function end_tasks(self)
  if self.state ~= OPEN then return end
  for _, task in ipairs(unseen(self)) do task:cancel() end
  self.state = ENDING
end

--- Interrupts the body, if it is what the parent is in.
local function interrupt_body(self)
  if self.leaving or self.interrupted then return end
  self.interrupted = true
  self.parent:cancel()
end

--- The task with this number is done. Once it has been seen, that is no news.
local function see(self, number)
  local task = self.tasks[number]
  if not task then return end
  local err = not task:cancelled() and task:exception() or nil
  self.errors[#self.errors + 1] = err
  self.tasks[number] = nil
  if err ~= nil and self.state == OPEN then
    end_tasks(self)
    interrupt_body(self)
  end
end

--- Creates a task in the group; options as for async.create_task. RuntimeError when the group has ended or is being
-- cancelled.
-- @return Task
function TaskGroup:create_task(awaitable, opts)
  check.awaitable(awaitable, 1, "create_task")
  check.options(opts, 2, "create_task", task_options)
  if self.state ~= OPEN then
    core.discard(awaitable)
    local why = self.state == ENDED and "has ended" or "is being cancelled"
    error(errors.RuntimeError("the task group " .. why), 2)
  end
  local number = self.made + 1
  self.tasks[number] = false -- so that there is room for the task
  local task = core.create_task(awaitable, opts)
  self.tasks[number], self.made = task, number
  task:add_done_callback(function() see(self, number) end)
  return task
end

--- Cancels the tasks, and in the task_group(fn) form the body; the group then ends without an error.
-- After CPython 3.15's TaskGroup.cancel.
function TaskGroup:cancel()
  if self.state == ENDED then return end
  end_tasks(self)
  if self.has_body then interrupt_body(self) end
end

--- Waits until these are done, and their callbacks have run; sees to those whose callback had no memory.
local function wait_for(self, list)
  core.wait(list)
  core.sleep(0)
  for number = 1, self.made do
    local task = self.tasks[number]
    if task and task:done() then see(self, number) end
  end
end

--- Waits until no task is left. `cancelled` is the CancelledError that the body has ended with, or nil; a cancellation
-- of the parent meanwhile cancels the tasks. Returns the first of these.
local function drain(self, cancelled)
  local list = unseen(self)
  while #list > 0 do
    local ok, err = try_after(cancelled, wait_for, self, list)
    if not ok then
      if not is(err, errors.CancelledError) then error(err, 0) end
      cancelled = cancelled or err
      end_tasks(self)
    end
    list = unseen(self)
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
  cancelled = drain(self, cancelled)
  self.state = ENDED
  if self.interrupted and self.parent:uncancel() <= self.requests then cancelled = nil end
  if err ~= nil and not is(err, errors.CancelledError) then self.errors[#self.errors + 1] = err end
  if #self.errors > 0 then raise_errors(self) end
  if cancelled then error(cancelled, 0) end
end

function TaskGroup:__close(err) leave(self, err) end

function TaskGroup:__tostring()
  return ("<TaskGroup %s tasks=%d errors=%d>"):format(self.state, #unseen(self), #self.errors)
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
  return finish(self, try(core.plain(fn), self))
end

return group
