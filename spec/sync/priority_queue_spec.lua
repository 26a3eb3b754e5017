local async = require "luawait"
local helpers = require "spec.support.helpers"

local failure, failure_kind, failure_text = helpers.failure, helpers.failure_kind, helpers.failure_text
local run, settle = helpers.test, helpers.settle

-- All that can be got without waiting, as words.
local function drain(queue)
  local log = helpers.log()
  while not queue:empty() do log(queue:get_nowait()) end
  return tostring(log)
end

local function fill(queue, ...)
  for _, item in ipairs({ ... }) do queue:put_nowait(item) end
  return queue
end

-- Items with a rank, by which they compare, and a name.
local Ranked = {}
Ranked.__lt = function(a, b) return a.rank < b.rank end
Ranked.__tostring = function(self) return self.name end

local function ranked(rank, name)
  return setmetatable({ rank = rank, name = name or rank }, Ranked)
end

-- A `less` that raises what `switch.err` is, where that is set.
local function breakable()
  local switch = {}
  return switch, function(a, b)
    if switch.err then error(switch.err, 0) end
    return a < b
  end
end

describe("a LifoQueue", function()
  it("gives out the newest item first", function()
    run(function()
      local queue = fill(async.LifoQueue(), 1, 2, 3)
      assert.equal(3, queue:get())
      queue:put(4)
      assert.equal("4 2 1", drain(queue))
    end)
  end)

  it("has a bound, serves its waiters in order, and shuts down, as any queue", function()
    run(function()
      local queue = fill(async.LifoQueue(2), "a", "b")
      assert.equal("QueueFull", failure_kind(queue.put_nowait, queue, "c"))
      local putter = async.create_task(function() queue:put("c") end)
      settle()
      assert.equal("b", queue:get())
      async.await(putter)
      queue:shutdown()
      local log = helpers.log()
      for item in queue:iter() do log(item) end
      assert.equal("c a", tostring(log))
      assert.equal("QueueShutDown", failure_kind(queue.get, queue))
    end)
  end)
end)

describe("a PriorityQueue", function()
  it("gives out the least item first: numbers, strings, and what has __lt", function()
    assert.equal("-1 0.5 1 2 3", drain(fill(async.PriorityQueue(), 3, 1, 2, -1, 0.5)))
    assert.equal("a b c", drain(fill(async.PriorityQueue(), "b", "c", "a")))
    assert.equal("1 2 3", drain(fill(async.PriorityQueue(), ranked(2), ranked(3), ranked(1))))
  end)

  it("compares with less, which may be anything that can be called", function()
    local function more(a, b) return a > b end
    assert.equal("3 2 1", drain(fill(async.PriorityQueue(nil, more), 2, 3, 1)))
    local callable = setmetatable({}, { __call = function(_, a, b) return a > b end })
    assert.equal("3 2 1", drain(fill(async.PriorityQueue(0, callable), 2, 3, 1)))
    for _, value in ipairs({ true, 1, "x", {} }) do
      assert.matches("bad argument #2 to 'PriorityQueue' (function expected, got ",
        failure_text(async.PriorityQueue, 0, value), 1, true)
    end
  end)

  it("gives out equal items in the order in which they were put, also after some were got", function()
    local queue, log = async.PriorityQueue(), helpers.log()
    for i = 1, 20 do queue:put_nowait(ranked(i % 2, i)) end
    for _ = 1, 5 do log(queue:get_nowait()) end
    assert.equal("2 4 6 8 10", tostring(log))
    queue:put_nowait(ranked(0, "late"))
    assert.equal("12 14 16 18 20 late 1 3 5 7 9 11 13 15 17 19", drain(queue))
  end)

  it("has a bound, and serves its waiters in order", function()
    run(function()
      local queue, log = fill(async.PriorityQueue(2), 5, 3), helpers.log()
      for _, item in ipairs({ 4, 1 }) do async.create_task(function() queue:put(item) end) end
      settle()
      for _ = 1, 4 do
        log(queue:get())
        settle()
      end
      assert.equal("3 4 1 5", tostring(log))
      local getters = {}
      for i = 1, 2 do getters[i] = async.create_task(function() return queue:get() end) end
      settle()
      queue:put_nowait(2)
      queue:put_nowait(1)
      assert.same({ 1, 2, n = 2 }, async.gather(getters))
    end)
  end)

  it("refuses an item that cannot be compared, and stays as it was", function()
    local queue = fill(async.PriorityQueue(), 2, 1)
    assert.matches("attempt to compare", failure_text(queue.put_nowait, queue, "x"), 1, true)
    assert.matches("attempt to compare", failure_text(queue.put_nowait, queue, {}), 1, true)
    assert.same({ 2, 2 }, { queue:qsize(), queue:statistics().unfinished })
    assert.equal("1 2", drain(queue))
    local single = fill(async.PriorityQueue(), {})
    assert.equal("table", type(single:get_nowait()))
  end)
end)

describe("a PriorityQueue whose less raises", function()
  it("on put, has not added the item", function()
    local switch, less = breakable()
    local queue = fill(async.PriorityQueue(0, less), 3, 1, 2)
    switch.err = async.ValueError("less")
    assert.is_true(rawequal(switch.err, failure(queue.put_nowait, queue, 0)))
    assert.is_true(rawequal(switch.err, failure(queue.put, queue, 0)))
    switch.err = nil
    assert.same({ 3, 3 }, { queue:qsize(), queue:statistics().unfinished })
    assert.equal("1 2 3", drain(queue))
  end)

  it("on get, has taken nothing out", function()
    local switch, less = breakable()
    local queue = fill(async.PriorityQueue(0, less), 3, 1, 2, 4)
    switch.err = async.ValueError("less")
    assert.is_true(rawequal(switch.err, failure(queue.get_nowait, queue)))
    assert.is_true(rawequal(switch.err, failure(queue.get, queue)))
    switch.err = nil
    assert.equal("1 2 3 4", drain(queue))
  end)

  it("at any of its calls, is as it was", function()
    local left = math.huge
    local function less(a, b)
      left = left - 1
      if left < 0 then error("less", 0) end
      return a < b
    end
    for calls = 0, 8 do
      local queue = async.PriorityQueue(0, less)
      left = math.huge
      for i = 1, 16 do queue:put_nowait(i * 7 % 17) end
      left = calls
      local put = pcall(queue.put_nowait, queue, 0)
      left = calls
      local got, item = pcall(queue.get_nowait, queue)
      left = math.huge
      local expected = helpers.log()
      for i = put and 0 or 1, 16 do expected(i) end
      if got then assert.equal(tostring(item), table.remove(expected, 1)) end
      assert.equal(tostring(expected), drain(queue))
    end
  end)

  it("in a get that has waited, gives the error to that getter and the item to the next", function()
    run(function()
      local calls, err = 0, async.ValueError("less")
      local queue = async.PriorityQueue(0, function(a, b)
        calls = calls + 1
        if calls == 3 then error(err) end -- the two puts that compare come first
        return a < b
      end)
      local getters = {}
      for i = 1, 4 do getters[i] = async.create_task(function() return queue:get() end) end
      settle()
      for i = 1, 3 do queue:put_nowait(i) end
      assert.is_true(rawequal(err, failure(async.await, getters[1])))
      assert.same({ 1, 2, 3, n = 3 }, async.gather({ getters[2], getters[3], getters[4] }))
      assert.is_true(queue:empty())
    end)
  end)

  it("in a put that has waited, gives the error to that putter and the slot to the next", function()
    run(function()
      local err = async.ValueError("less")
      local queue = fill(async.PriorityQueue(2, function(a, b)
        if a == "bad" or b == "bad" then error(err) end
        return a < b
      end), 1, 2)
      local bad = async.create_task(function() queue:put("bad") end)
      local good = async.create_task(function() queue:put(3) end)
      settle()
      assert.equal(1, queue:get())
      assert.is_true(rawequal(err, failure(async.await, bad)))
      async.await(good)
      assert.is_true(queue:full())
      assert.equal("2 3", drain(queue))
      assert.equal(3, queue:statistics().unfinished)
    end)
  end)

  it("because it waits, says so and leaves the queue as it was", function()
    run(function()
      local queue = async.PriorityQueue(0, function(a, b)
        async.sleep(0)
        return a < b
      end)
      queue:put(1)
      assert.equal("RuntimeError", failure_kind(queue.put, queue, 2))
      assert.equal("1", drain(queue))
    end)
  end)
end)

describe("a PriorityQueue whose less changes it", function()
  local changes = {
    put = function(queue) queue:put_nowait(0) end,
    get = function(queue) queue:get_nowait() end,
    ["shut it down"] = function(queue) queue:shutdown(true) end,
  }

  for name, change in pairs(changes) do
    for _, method in ipairs({ "put_nowait", "get_nowait" }) do
      it(("(%s) in %s, raises RuntimeError and stays consistent"):format(name, method), function()
        local queue, changing
        queue = async.PriorityQueue(0, function(a, b)
          if changing then
            changing = false
            change(queue)
          end
          return a < b
        end)
        fill(queue, 4, 2, 5, 3)
        changing = true
        local err = failure(queue[method], queue, 1)
        assert.equal("RuntimeError", helpers.kind(err))
        assert.matches("the queue was changed while its items were compared", err.message, 1, true)
        local expected = { put = "0 2 3 4 5", get = "3 4 5", ["shut it down"] = "" }
        assert.equal(expected[name], drain(queue))
      end)
    end
  end
end)

-- What each kind of queue must do, in the plainest way: add to the end, take from where it says.
local models = {
  Queue = function() return 1 end,
  LifoQueue = function(items) return #items end,
  PriorityQueue = function(items)
    local least = 1
    for i = 2, #items do
      if items[i] // 10000 < items[least] // 10000 then least = i end
    end
    return least
  end,
}

for class, where in pairs(models) do
  describe("a large " .. class, function()
    -- Items are put and got at random; `bias` of 10 steps are puts. Equal ranks (item // 10000) are frequent.
    local function play(queue, steps, bias, items, random)
      for step = 1, steps do
        if random(10) <= bias then
          local item = random(20) * 10000 + step % 10000
          queue:put_nowait(item)
          items[#items + 1] = item
        elseif #items == 0 then
          assert.equal("QueueEmpty", failure_kind(queue.get_nowait, queue))
        elseif queue:get_nowait() ~= table.remove(items, where(items)) then
          error("wrong item in step " .. step)
        end
      end
      assert.equal(#items, queue:qsize())
    end

    local function new()
      if class ~= "PriorityQueue" then return async[class]() end
      return async.PriorityQueue(0, function(a, b) return a // 10000 < b // 10000 end)
    end

    it("does as its model in random programs, while it grows, wraps around and becomes empty", function()
      local state = 1
      local function random(n)
        state = (state * 1103515245 + 12345) % 2147483648
        return state // 65536 % n + 1
      end
      local queue, items = new(), {}
      for _ = 1, 3 do
        play(queue, helpers.scale(4000), 7, items, random)
        play(queue, helpers.scale(2000), 5, items, random)
        while #items > 0 do assert.equal(table.remove(items, where(items)), queue:get_nowait()) end
        assert.is_true(queue:empty())
      end
    end)

    it("gives every item back, and works on when it was empty", function()
      local queue = new()
      for _ = 1, 2 do
        local sum = 0
        for i = 1, 10000 do queue:put_nowait(i) end
        assert.equal(10000, queue:qsize())
        for _ = 1, 10000 do sum = sum + queue:get_nowait() end
        assert.equal(50005000, sum)
        assert.is_true(queue:empty())
        assert.equal("QueueEmpty", failure_kind(queue.get_nowait, queue))
      end
    end)
  end)
end

describe("the memory of a Queue that was large", function()
  it("is given up when it is empty", function()
    local queue = async.Queue()
    helpers.collect_garbage()
    local before = collectgarbage("count")
    for i = 1, 100000 do queue:put_nowait(i) end
    assert.is_true(collectgarbage("count") - before > 1000)
    for _ = 1, 100000 do queue:get_nowait() end
    helpers.collect_garbage()
    assert.is_true(collectgarbage("count") - before < 100)
    queue:put_nowait("a")
    assert.equal("a", drain(queue))
  end)
end)
