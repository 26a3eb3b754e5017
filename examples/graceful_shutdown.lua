-- A graceful shutdown: ask the workers to stop, let them finish what is in their hands, and cancel those that take too
-- long. A worker that rests between two jobs waits for the request, with a timeout: so it hears of it at once.
-- Ctrl-C cancels them all: the group cancels its workers and waits for them.
local async = require "luawait"

-- Waits until the event is set, but not longer than that. Returns whether it is set.
local function is_set_within(event, seconds)
  async.pcall(async.wait_for, function() event:wait() end, seconds)         -- only TimeoutError can come of it
  return event:is_set()
end

local worker = async(function(job_time, rest, stopping)
  repeat
    async.sleep(job_time)                                   -- the job
  until is_set_within(stopping, rest)
  return "finished its job"
end)

local function outcome(task)
  return task:cancelled() and "was cancelled" or task:result()
end

async.run(function()
  local stopping = async.Event()
  local workers = {}
  async.task_group(function(group)
    for i, times in ipairs({ { job = 0.02, rest = 0.01 }, { job = 0.01, rest = 60 }, { job = 60, rest = 1 } }) do
      local name = "worker " .. i
      workers[i] = group:create_task(worker(times.job, times.rest, stopping), { name = name })
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
