--- async.as_completed, in Lua on done callbacks.
local core = require "luawait.core"
local check = require "luawait.check"
local scopes = require "luawait.scopes"

local Iteration = {}
Iteration.__index = Iteration

--- The next finished one; waits for it. nil when all were returned.
function Iteration:__call()
  while self.taken == self.finished do
    if self.taken == self.total then return nil end
    self.news:clear()
    scopes.timeout_at(self.deadline, self.news.wait, self.news)
  end
  self.taken = self.taken + 1
  return self.order[self.taken]
end

--- When the loop is left early, the tasks go on, but nobody listens any more.
function Iteration:__close()
  for _, future in ipairs(self.futures) do future:remove_done_callback(self.listen) end
end

--- One for each that is listed, however often it is.
local function futures_of(list)
  local futures, listed = {}, {}
  for _, awaitable in ipairs(list) do
    if not listed[awaitable] then futures[#futures + 1] = core.ensure_future(awaitable) end
    listed[awaitable] = true
  end
  return futures
end

--- for task in async.as_completed(list, opts?): the tasks and futures of a list of awaitables (what is neither
-- becomes a task) in the order in which they finish, each once; task:result() has the results or raises the error.
-- opts.timeout: seconds for all of them, after which TimeoutError is raised; the rest goes on. After
-- asyncio.as_completed.
local function as_completed(list, opts)
  if type(list) ~= "table" then check.fail(1, "as_completed", "table expected, got " .. type(list), 2) end
  local timeout = check.options(opts, 2, "as_completed", {timeout = "number"}).timeout
  for i = 1, #list do
    local complaint = core.not_awaitable(list[i])
    if complaint then check.fail(1, "as_completed", ("entry [%d]: %s"):format(i, complaint), 2) end
  end
  local self = setmetatable({order = {}, finished = 0, taken = 0, news = core.Event()}, Iteration)
  self.deadline = timeout and core.after(timeout)
  self.futures = futures_of(list)
  self.total = #self.futures
  function self.listen(future)
    self.finished = self.finished + 1
    self.order[self.finished] = future
    self.news:set()
  end
  for _, future in ipairs(self.futures) do future:add_done_callback(self.listen) end
  return self, nil, nil, self
end

return as_completed
