-- A rate-limited fetcher: all requests are begun at once, and a semaphore lets three at a time through.
-- Prints the pages in the order in which they were asked for, and how many requests were in flight at most.
-- (rate_limit_workers.lua does the same with workers, fetch_all.lua makes real requests.)
local async = require "luawait"

local permits = async.Semaphore(3)
local in_flight, peak = 0, 0

-- Stands for a request.
local function get(path)
  in_flight = in_flight + 1
  peak = math.max(peak, in_flight)
  async.sleep(0.02)
  in_flight = in_flight - 1
  return "the page " .. path
end

local fetch = async(function(path)
  local permit <close> = permits:acquire()       -- given back where the function ends, with or without an error
  return get(path)
end)

async.run(function()
  local jobs = {}
  for i = 1, 8 do jobs[i] = fetch("/" .. i) end
  for _, page in ipairs(async.gather(jobs)) do print(page) end
  print(("%d requests, at most %d in flight"):format(#jobs, peak))
end)
