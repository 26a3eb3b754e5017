-- as_completed: results in the order in which they come, for instance to show how far the work is.
local async = require "luawait"

local download = async(function(name, delay)
  async.sleep(delay)
  return name
end)

async.run(function()
  local jobs = {
    download("big", 0.45), download("small", 0.05), download("middle", 0.25),
  }
  local done = 0
  for task in async.as_completed(jobs) do
    done = done + 1
    print(("%d of %d: %s"):format(done, #jobs, async.await(task)))
  end
end)
