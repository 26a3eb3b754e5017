--- luawait: asyncio for Lua. The public face; what each function promises stands in types/luawait.lua and docs/.
local core = require "luawait.core"
local group = require "luawait.group"
local scopes = require "luawait.scopes"
local await = require "luawait.await"
require "luawait.primitives"

local async = setmetatable({_VERSION = core._VERSION}, {
  --- async(fn): an async function; calling it returns a Coroutine, see core/coroutine.c.
  __call = function(_, fn) return core.async(fn) end,
})

for _, name in ipairs {
  "run", "Runner", "create_task", "current_task", "all_tasks", "sleep", "time", "call_soon", "call_later", "call_at",
  "set_exception_handler", "Future", "gather", "is_failure", "wait", "shield", "pcall", "xpcall", "errors",
  "ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "Event", "Lock", "Semaphore", "BoundedSemaphore",
  "Condition", "Barrier", "Queue", "PriorityQueue", "LifoQueue",
} do
  async[name] = core[name]
end

for name, class in pairs(core.errors) do
  if type(class) == "table" then async[name] = class end
end

async.await = await
async.timeout, async.timeout_at, async.wait_for = scopes.timeout, scopes.timeout_at, scopes.wait_for
async.as_completed = require "luawait.as_completed"
async.from_callback = require "luawait.callbacks"
async.task_group, async.TaskGroup = group.task_group, group.TaskGroup

return async
