-- A graceful shutdown: ask the workers to stop, let them finish what is in their hands, and cancel those that take too
-- long.
-- Ctrl-C does the same at once: the group cancels its workers and waits for them.
local async = require "luawait"

local worker = async(function(job_time, stopping)
  while not stopping:is_set() do
    async.sleep(job_time)                                   -- the job
  end
  return "finished its job"
end)

local function outcome(task)
  return task:cancelled() and "was cancelled" or task:result()
end

async.run(function()
  local stopping = async.Event()
  local workers = {}
  async.task_group(function(group)
    for i, job_time in ipairs({ 0.02, 0.05, 60 }) do
      local name = "worker " .. i
      workers[i] = group:create_task(worker(job_time, stopping), { name = name })
    end
    async.sleep(0.1)
    print("stopping")
    stopping:set()
    local _, pending = async.wait(workers, { timeout = 0.5 })
    print(#pending .. " still at work")
    group:cancel()
  end)
  for _, task in ipairs(workers) do print(task:get_name(), outcome(task)) end
end)
