--- Attempts that race: each next one starts when the one before it fails, or has not ended after `step` seconds.
-- After RFC 8305, section 5 ("Happy Eyeballs").
local core = require "luawait.core"

local Race = {}

--- Whoever has not won is cancelled; what comes of it all the same is closed.
function Race:__close()
  for _, task in ipairs(self) do task:cancel() end
  if #self > 0 then core.wait(self) end
  for _, task in ipairs(self) do
    if not task:cancelled() and task:exception() == nil then task:result():close() end
  end
end

--- Waits for the end of an attempt, at most `step` seconds. Returns the result of the first that succeeded, or nil
-- and, when an attempt failed, its error.
local function advance(self, step)
  local failure
  for _, task in ipairs((core.wait(self, { timeout = step, return_when = core.FIRST_COMPLETED }))) do
    for i = #self, 1, -1 do
      if self[i] == task then table.remove(self, i) end
    end
    failure = task:exception()
    if failure == nil then return task:result() end
  end
  return nil, failure
end

--- The result of the first attempt(candidate) that succeeds; it must have a method `close`. Raises the error of the
-- last one that failed when all did. When the race is over, or is cancelled, the attempts that still run are
-- cancelled.
local function race(candidates, attempt, step)
  local self <close> = setmetatable({}, Race)
  local started, last_failure = 0, nil
  while true do
    if started < #candidates then
      started = started + 1
      local candidate = candidates[started]
      self[#self + 1] = core.create_task(function() return attempt(candidate) end)
    end
    repeat
      if #self == 0 then error(last_failure, 0) end
      local result, failure = advance(self, candidates[started + 1] and step)
      if result then return result end
      last_failure = failure or last_failure
    until candidates[started + 1]
  end
end

return race
