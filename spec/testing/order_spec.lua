-- luawait.testing: seeds, and the sequencer.
local async = require "luawait"
local std = require "luawait.std"
local testing = require "luawait.testing"
local helpers = require "spec.support.helpers"

-- The order in which five tasks have three turns each, as text.
local function interleaving()
  local log = helpers.log()
  local tasks = {}
  for i = 1, 5 do
    tasks[i] = async.create_task(function()
      for _ = 1, 3 do
        log(i)
        async.sleep(0)
      end
    end)
  end
  async.gather(table.unpack(tasks))
  return tostring(log)
end

-- The order in which five equal deadlines come.
local function deadlines()
  local log = helpers.log()
  for i = 1, 5 do async.call_later(1, log, i) end
  async.sleep(2)
  return tostring(log)
end

-- Do the seeds from 1 to `count` give more than one result?
local function differs(fn, count)
  local first = testing.run(fn, { seed = 1 })
  for seed = 2, count do
    if testing.run(fn, { seed = seed }) ~= first then return true end
  end
  return false
end

describe("without a seed", function()
  it("tasks and deadlines come in their order", function()
    assert.equal("1 2 3 4 5 1 2 3 4 5 1 2 3 4 5", testing.run(interleaving))
    assert.equal("1 2 3 4 5", testing.run(deadlines))
  end)
end)

describe("a seed", function()
  it("gives the same run again", function()
    for seed = 1, 5 do
      for _, fn in ipairs({ interleaving, deadlines }) do
        assert.equal(testing.run(fn, { seed = seed }), testing.run(fn, { seed = seed }))
      end
    end
  end)

  it("gives the same run in another process", function()
    local source = [[
      local testing = require "luawait.testing"
      print(testing.run(function()
        local words = {}
        local function job(i)
          for _ = 1, 4 do
            async.sleep(math.random(3))
            words[#words + 1] = i
          end
        end
        local tasks = {}
        for i = 1, 6 do tasks[i] = async.create_task(function() job(i) end) end
        async.gather(table.unpack(tasks))
        return table.concat(words, " ")
      end, {seed = 7}))
    ]]
    local first = helpers.child_output(source)
    assert.is_true(#first > 40)
    assert.equal(first, helpers.child_output(source))
  end)

  it("shuffles tasks that are ready", function()
    assert.is_true(differs(interleaving, 20))
  end)

  it("shuffles deadlines that are equal", function()
    assert.is_true(differs(deadlines, 20))
  end)

  it("knows that a callback which was to have its turn has been cancelled", function()
    testing.run(function()
      local handle, called
      async.create_task(function() handle:cancel() end)
      handle = async.call_soon(function() called = true end)
      async.sleep(1)
      assert.is_nil(called)
    end, { seed = 1 })
  end)

  it("lets no task have two turns before every other had one", function()
    for seed = 1, 20 do
      local words = {}
      for word in testing.run(interleaving, { seed = seed }):gmatch("%d") do words[#words + 1] = word end
      assert.equal(15, #words)
      for turn = 0, 2 do
        local seen = {}
        for i = 1, 5 do seen[words[5 * turn + i]] = true end
        for i = 1, 5 do assert.is_true(seen[tostring(i)], ("turn %d of seed %d"):format(turn, seed)) end
      end
    end
  end)

  it("leaves the order of call_soon and of different deadlines as it is", function()
    for seed = 1, 10 do
      testing.run(function()
        local log = helpers.log()
        for i = 1, 5 do async.call_soon(log, i) end
        for i = 6, 9 do async.call_later(i, log, i) end
        async.sleep(20)
        assert.equal("1 2 3 4 5 6 7 8 9", tostring(log))
      end, { seed = seed })
    end
  end)

  it("leaves the order of those who wait for a lock as it is", function()
    for seed = 1, 10 do
      testing.run(function()
        local lock, log = async.Lock(), helpers.log()
        lock:acquire()
        local tasks = {}
        for i = 1, 5 do
          tasks[i] = async.create_task(function()
            lock:acquire()
            log(i)
            lock:release()
          end)
          testing.wait_all_blocked()
        end
        lock:release()
        async.gather(table.unpack(tasks))
        assert.equal("1 2 3 4 5", tostring(log))
      end, { seed = seed })
    end
  end)

  it("is that of math.random as well", function()
    local function numbers() return math.random(1000000), math.random(1000000) end
    local a, b = testing.run(numbers, { seed = 3 })
    local c, d = testing.run(numbers, { seed = 3 })
    assert.equal(a, c)
    assert.equal(b, d)
  end)

  it("works with many tasks", function()
    local n = helpers.scale(5000)
    assert.equal(n, testing.run(function()
      local count, tasks = 0, {}
      for i = 1, n do
        tasks[i] = async.create_task(function()
          async.sleep(1)
          count = count + 1
        end)
      end
      async.wait(tasks)
      return count
    end, { seed = 1 }))
  end)
end)

describe("opts.explore", function()
  it("runs once for each seed, and returns what the last run did", function()
    local runs = 0
    assert.equal(12, testing.run(function()
      runs = runs + 1
      return runs
    end, { explore = 12 }))
    assert.equal(12, runs)
  end)

  it("begins with the seed that is given", function()
    local function order() return testing.run(interleaving, { seed = 5 }) end
    local orders = {}
    testing.run(function() orders[#orders + 1] = interleaving() end, { seed = 3, explore = 3 })
    assert.equal(order(), orders[3])
  end)

  it("finds a race, and writes the seed that does", function()
    local child = helpers.child([[
      local testing = require "luawait.testing"
      testing.run(function()
        local count = 0
        local writer = async.create_task(function() count = count + 1 end)
        local reader = async.create_task(function() assert(count == 1, "read too early") end)
        async.gather(writer, reader)
      end, {explore = 50})
    ]])
    assert.equal(1, child.status)
    local seed = child.stderr:match("luawait.testing: failed with seed (%d+)\n")
    assert.is_truthy(seed, child.stderr)
    assert.is_truthy(child.stderr:find("read too early", 1, true))
    local again = helpers.child([[
      local testing = require "luawait.testing"
      local runs = 0
      testing.run(function()
        runs = runs + 1
        assert(runs == 1)
        local count = 0
        local writer = async.create_task(function() count = count + 1 end)
        local reader = async.create_task(function() assert(count == 1, "read too early") end)
        async.gather(writer, reader)
      end, {explore = 50})
    ]], { env = { LUAWAIT_SEED = seed } })
    assert.is_truthy(again.stderr:find("failed with seed " .. seed, 1, true), again.stderr)
    assert.is_truthy(again.stderr:find("read too early", 1, true), again.stderr)
  end)

  it("and run pass an error on as it is", function()
    local mine = {}
    local ok, err = pcall(testing.run, function() error(mine, 0) end)
    assert.is_false(ok)
    assert.is_true(rawequal(mine, err))
  end)
end)

describe("a sequencer", function()
  it("puts blocks of several tasks into an order", function()
    for seed = 1, 10 do
      testing.run(function()
        local log, sequence = helpers.log(), testing.sequencer()
        local function block(turn)
          local _ <close> = sequence(turn)
          log(turn)
          async.sleep(1)
          log(turn)
        end
        async.gather(function()
          block(1)
          block(4)
        end, function()
          block(2)
          block(5)
        end, function() block(3) end)
        assert.equal("1 1 2 2 3 3 4 4 5 5", tostring(log))
      end, { seed = seed })
    end
  end)

  it("goes on when a block fails", function()
    testing.run(function()
      local sequence = testing.sequencer()
      local failing = async.create_task(function()
        local _ <close> = sequence(1)
        error("x")
      end)
      local _ <close> = sequence(2)
      assert.is_truthy(failing:exception())
    end)
  end)

  local function is_broken_by_a_cancellation()
    testing.run(function()
      local sequence = testing.sequencer()
      local second = async.create_task(function() local _ <close> = sequence(2) end)
      local third = async.create_task(function() local _ <close> = sequence(3) end)
      testing.wait_all_blocked()
      second:cancel()
      async.wait({ second, third })
      assert.is_true(second:cancelled())
      assert.is_truthy(tostring(third:exception()):find("RuntimeError: the sequence is broken: turn 2", 1, true))
      assert.is_truthy(helpers.failure_text(sequence, 1):find("the sequence is broken", 1, true))
    end)
  end

  it("is broken when a wait for a turn is cancelled", is_broken_by_a_cancellation)

  it("is so where luawait.std is installed, whose pcall cancellations pass", function()
    local _ <close> = helpers.defer(std.uninstall)
    std.install()
    is_broken_by_a_cancellation()
  end)

  it("is whole after a call from where nobody can wait", function()
    testing.run(function()
      local sequence, failed = testing.sequencer(), 0
      local function call()
        failed = failed + 1
        assert.matches("RuntimeError: cannot wait", helpers.failure_text(sequence, 2), 1, true)
        return false
      end
      table.sort({ 1, 2 }, call)
      assert.is_true(failed > 0)
      do local _ <close> = sequence(1) end
      do local _ <close> = sequence(2) end
    end)
  end)

  it("has each turn once, numbered from 1", function()
    testing.run(function()
      local sequence = testing.sequencer()
      do local _ <close> = sequence(1) end
      assert.is_truthy(helpers.failure_text(sequence, 1):find("RuntimeError: turn 1 was taken before", 1, true))
      for _, bad in ipairs({ 0, -1, 1.5, "1", {} }) do
        assert.is_truthy(helpers.failure_text(sequence, bad):find("bad argument #1 to 'sequencer'", 1, true))
      end
    end)
  end)
end)
