-- gather: the first failure is raised, or all of them are results.
local async = require "luawait"

local work = async(function(name, delay, fails)
  async.sleep(delay)
  if fails then error(async.ValueError(name .. " went wrong")) end
  return name .. " is fine"
end)

async.run(function()
  -- As it is, gather raises the first failure at once; the others go on.
  local ok, err = async.pcall(async.gather, work("a", 0.2), work("b", 0.01, true))
  print(ok, err)

  -- With return_exceptions nothing is raised, and a failed slot holds a Failure.
  local results = async.gather(
    { work("a", 0.02), work("b", 0.01, true), work("c", 0), function() error("a string", 0) end },
    { return_exceptions = true })
  for i, result in ipairs(results) do
    if async.is_failure(result) then
      print(i, "failed", result.error)
    else
      print(i, "ok", result)
    end
  end

  -- A table with keys comes back with the same keys.
  local user = async.gather({ name = work("name", 0.01), age = work("age", 0.02) })
  print(user.name, user.age)
end)
