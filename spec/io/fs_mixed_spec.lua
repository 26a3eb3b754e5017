-- A hundred operations of all kinds at once, one of them cancelled: nothing is lost, and nothing is left.
local async = require "luawait"
local fs = require "luawait.fs"
local helpers = require "spec.support.helpers"
local support = require "spec.support.fs"

--- What the operations draw their numbers from.
local function generator(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % n + 1
  end
end

local operations = {
  function(dir) return #fs.read_file(dir .. "/data") == 100000 end,
  function(dir, i) fs.write_file(dir .. "/w" .. i, ("x"):rep(i * 100), { atomic = i % 2 == 0 }) end,
  function(_, _, log) return log:write("line\n") end,
  function(dir)
    local file <close> = fs.open(dir .. "/data")
    file:seek("set", 50000)
    return #file:read("a") == 50000
  end,
  function(dir) return #fs.listdir(tostring(dir)) > 0 end,
  function(dir) return fs.stat(dir .. "/data").size == 100000 end,
  function(dir, i)
    fs.mkdir(("%s/t%d/a/b"):format(dir, i), { parents = true, exist_ok = true })
    fs.rmtree(("%s/t%d"):format(dir, i))
  end,
  function(dir) return #fs.glob(dir .. "/d*") == 1 end,
  function(dir, i)
    fs.copy(dir .. "/data", dir .. "/c" .. i)
    fs.remove(dir .. "/c" .. i)
  end,
  function(dir)
    local watch <close> = fs.watch(tostring(dir))
    fs.utime(dir .. "/data")
    return watch:next() ~= nil
  end,
}

describe("a hundred operations at once", function()
  it("leave nothing behind when a random one is cancelled", function()
    support.run(function(dir)
      fs.write_file(dir .. "/data", ("d"):rep(100000))
      local rng = generator(42)
      local log <close> = fs.open(dir .. "/log", "a")
      for _ = 1, helpers.scale(100) do
        local tasks = {}
        for i = 1, 100 do
          local operation = operations[rng(#operations)]
          tasks[i] = async.create_task(function() return operation(dir, i, log) end)
        end
        for _ = 1, rng(8) - 1 do async.sleep(0) end
        local victim = tasks[rng(100)]
        victim:cancel()
        async.wait(tasks)
        for _, task in ipairs(tasks) do
          if task ~= victim then assert.are_not.equal(false, (task:result())) end
        end
      end
      log:sync()
      for line in io.lines(dir .. "/log", "L") do assert.equal("line\n", line) end
    end)
  end)

  it("take no memory that grows", function()
    support.run(function(dir)
      fs.write_file(dir .. "/data", ("d"):rep(100000))
      local log <close> = fs.open(dir .. "/log", "a")
      local function round()
        local tasks = {}
        for i = 1, 100 do
          tasks[i] = async.create_task(function() return operations[i % #operations + 1](dir, i, log) end)
        end
        async.sleep(0)
        tasks[50]:cancel()
        async.wait(tasks)
      end
      local function size()
        helpers.collect_garbage()
        return collectgarbage("count")
      end
      for _ = 1, 5 do round() end
      local before = size()
      for _ = 1, 20 do round() end
      assert.is_true(size() - before < 100, ("%.0f KiB"):format(size() - before))
    end)
  end)
end)
