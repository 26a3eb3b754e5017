-- Dining philosophers: five sit at a table, with a fork between each two, and who eats needs both forks beside him.
-- Where all take the left fork first, each waits for ever for the right one: run sees that and raises DeadlockError,
-- which tells who waits for what. Where all take the fork with the lower number first, no such circle can close.
-- Prints that error, and then how many meals there were.
local async = require "luawait"

local SEATS <const>, MEALS <const> = 5, 3

local philosopher = async(function(first, second)
  for _ = 1, MEALS do
    local one <close> = first:acquire()
    async.sleep(0.001)                            -- the others take one, too
    local other <close> = second:acquire()
    async.sleep(0.001)                            -- eats; both forks are put down where the round ends
  end
  return MEALS
end)

-- Returns the number of meals. order(left, right) tells which fork is taken first, and which one then.
local dinner = async(function(order)
  local forks, guests, meals = {}, {}, 0
  for i = 1, SEATS do forks[i] = async.Lock() end
  for i = 1, SEATS do
    local first, second = order(i, i % SEATS + 1)
    guests[i] = async.create_task(philosopher(forks[first], forks[second]), { name = "philosopher " .. i })
  end
  for _, eaten in ipairs(async.gather(guests)) do meals = meals + eaten end
  return meals
end)

local function left_first(left, right) return left, right end
local function lower_first(left, right) return math.min(left, right), math.max(left, right) end

local _, problem = pcall(async.run, dinner(left_first))
print(problem)
print(async.run(dinner(lower_first)) .. " meals")
