-- Producers and consumers: a bounded queue stands between them, so that the faster side waits for the slower one.
-- Prints how many loaves each baker baked, how many were eaten, and how many lay on the shelf at most.
local async = require "luawait"

local most, eaten = 0, 0

local baker = async(function(shelf, name, loaves)
  for i = 1, loaves do
    shelf:put(("%s's loaf %d"):format(name, i))    -- waits while the shelf is full
    most = math.max(most, shelf:qsize())
  end
  return ("%s baked %d"):format(name, loaves)
end)

local eater = async(function(shelf)
  while true do
    shelf:get()                                    -- waits while the shelf is empty
    async.sleep(0.005)
    eaten = eaten + 1
    shelf:task_done()
  end
end)

async.run(function()
  local shelf = async.Queue(2)
  async.task_group(function(group)
    for _ = 1, 3 do group:create_task(eater(shelf)) end
    print(async.gather(baker(shelf, "ann", 6), baker(shelf, "bob", 4)))
    shelf:join()                                   -- until each loaf has had its task_done
    group:cancel()                                 -- the eaters would wait for more
  end)
  print(("%d eaten, at most %d on the shelf"):format(eaten, most))
end)
