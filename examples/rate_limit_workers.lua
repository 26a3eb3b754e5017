-- A rate-limited fetcher: three workers take paths from a queue. There are three tasks, however many paths there are,
-- and whoever fills the queue waits while it is full.
-- Prints the pages in the order of their paths, and how many requests were in flight at most.
-- (rate_limit_semaphore.lua does the same with a task for each path.)
local async = require "luawait"

local in_flight, peak = 0, 0

-- Stands for a request.
local function get(path)
  in_flight = in_flight + 1
  peak = math.max(peak, in_flight)
  async.sleep(0.02)
  in_flight = in_flight - 1
  return "the page " .. path
end

local worker = async(function(paths, pages)
  for path in paths:iter() do pages[path] = get(path) end
end)

async.run(function()
  local paths, pages = async.Queue(3), {}
  async.task_group(function(group)
    for _ = 1, 3 do group:create_task(worker(paths, pages)) end
    for i = 1, 8 do paths:put("/" .. i) end
    paths:shutdown()                             -- no more to come: the workers take what is left, and end
  end)
  for i = 1, 8 do print(pages["/" .. i]) end
  print(("8 requests, at most %d in flight"):format(peak))
end)
