-- Sensors at different rates: each is a task with a period of its own, all report to one queue, and one task reads it.
-- Prints how many readings came from each sensor, and their mean.
local async = require "luawait"

-- A reading is due one period after the one before was due, so that delays do not add up.
local sensor = async(function(readings, name, period, values)
  local due = async.time()
  for _, value in ipairs(values) do
    due = due + period
    async.sleep(due - async.time())
    readings:put({ name = name, value = value })
  end
end)

-- Counts and adds up the readings of each sensor until there are no more.
local collect = async(function(readings)
  local counts, sums = {}, {}
  for reading in readings:iter() do
    local name = reading.name
    counts[name] = (counts[name] or 0) + 1
    sums[name] = (sums[name] or 0) + reading.value
  end
  return counts, sums
end)

async.run(function()
  local readings = async.Queue()
  local collecting = async.create_task(collect(readings))
  async.gather(
    sensor(readings, "temperature", 0.01, { 20, 20, 21, 21, 22, 22, 23, 23, 22 }),
    sensor(readings, "humidity", 0.03, { 40, 41, 45 }),
    sensor(readings, "pressure", 0.04, { 1012, 1014 }))
  readings:shutdown()                             -- no more to come: collect takes what is left, and ends
  local counts, sums = async.await(collecting)
  for _, name in ipairs({ "temperature", "humidity", "pressure" }) do
    print(("%s: %d readings, mean %.1f"):format(name, counts[name], sums[name] / counts[name]))
  end
end)
