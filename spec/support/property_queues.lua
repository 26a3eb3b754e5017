--- Queue, LifoQueue and PriorityQueue in a random program. What a kind is: see property_locks.lua.
--
-- The model is the array of the items in the order in which they were put. An item is in it from the moment in which
-- put returns to that in which get does: so what a get returns must be the next one at that moment.
local async = require "luawait"

local Queue = {}
Queue.__index = Queue

local TROUBLE = "less has raised"

--- ---- items: no two are the same, some are equal ----

local Item = {}
Item.__index = Item
Item.__lt = function(a, b) return a.queue:compare(a, b) end
Item.__tostring = function(item) return ("item %d (priority %d)"):format(item.id, item.priority) end

function Queue:new_item(priority)
  self.made = self.made + 1
  return setmetatable({ id = self.made, priority = priority, queue = self }, Item)
end

-- What the queue calls to compare. With `trouble`, at times it raises, or changes the queue.
function Queue:compare(a, b)
  self.compared = self.compared + 1
  if self.trouble and self.compared % self.period == 0 then
    if self.trouble == "raises" then error(TROUBLE, 0) end
    local trouble = self.trouble
    self.trouble = nil
    self:put_nowait(nil, { priority = 2 })
    self.trouble = trouble
  end
  if self.reverse then return a.priority > b.priority end
  return a.priority < b.priority
end

local function is_trouble(err)
  return err == TROUBLE or async.errors.is(err, async.RuntimeError) and err.message:find("while its items", 1, true)
end

--- ---- the kind ----

local classes = { "Queue", "Queue", "LifoQueue", "PriorityQueue", "PriorityQueue" }

function Queue.new(rng)
  local spec = { class = rng:pick(classes), maxsize = rng(4) - 1 }
  spec.ends, spec.filled = rng:pick({ "serve", "shut down", "throw away" }), rng:chance(3) and rng(12) or 0
  spec.mood = rng:pick({ "mixed", "mixed", "hungry", "crowded" })
  if spec.class ~= "PriorityQueue" then return spec end
  spec.reverse = rng:chance(2) or nil
  if rng:chance(3) then
    spec.trouble, spec.period = rng:pick({ "raises", "raises", "raises", "changes" }), 1 + rng(5)
    spec.mood = rng:pick({ spec.mood, "hungry" })
  end
  return spec
end

local operations = {
  mixed = { "put", "put", "put", "get", "get", "get", "iter", "put_nowait", "get_nowait", "burst", "join" },
  hungry = { "get", "get", "get", "get", "iter", "burst", "put" }, -- many wait to get
  crowded = { "put", "put", "put", "put", "get", "join" },         -- many wait to put
}

function Queue.op(rng, spec)
  local op = { subject = spec.id, name = rng:pick(operations[spec.mood]), priority = rng(3) }
  op.deadline, op.way, op.swallow = rng:deadline(), rng:way(), rng:chance(3)
  if op.name == "burst" then op.n = 1 + rng(4) end
  if op.name == "get" or op.name == "iter" then
    op.work, op.forget = rng(3) - 1, rng:chance(6)
  end
  if rng:chance(30) then op.name = rng:pick({ "shutdown", "shutdown_now" }) end
  return op
end

local acts = {
  "put_nowait", "put_nowait", "put_nowait", "burst", "get_nowait", "get_nowait", "get_nowait", "done_too_often",
  "shutdown", "shutdown_now",
}

function Queue.act(rng, spec)
  return { subject = spec.id, name = rng:pick(acts), priority = rng(3), n = 1 + rng(4) }
end

function Queue.make(world, spec)
  local name = spec.class .. " " .. spec.id
  local self = setmetatable({
    world = world, name = name, class = spec.class, maxsize = spec.maxsize, ends = spec.ends, trouble = spec.trouble,
    period = spec.period, reverse = spec.reverse, made = 0, compared = 0, items = {}, unfinished = 0, shut = false,
    given_back = 0,
    putters = world:line(name .. ": put"), getters = world:line(name .. ": get"),
    joiners = world:line(name .. ": join"),
  }, Queue)
  local less = spec.reverse and function(a, b) return self:compare(a, b) end or nil
  self.object = async[spec.class](spec.maxsize, less)
  for i = 1, spec.filled do self:put_nowait(nil, { priority = 1 + i * i % 5 }) end
  return self
end

--- ---- the model ----

-- The place of the item that comes out next.
function Queue:next_place()
  if self.class == "Queue" then return 1 end
  if self.class == "LifoQueue" then return #self.items end
  local best = 1
  for i, item in ipairs(self.items) do
    local a, b = item.priority, self.items[best].priority
    if self.reverse and a > b or not self.reverse and a < b then best = i end
  end
  return best
end

function Queue:put_in(item)
  self.world:note("%s: put %s", self.name, tostring(item))
  self.world:must(not self.shut, "%s: took an item though it is shut down", self.name)
  self.items[#self.items + 1] = item
  self.unfinished = self.unfinished + 1
end

function Queue:taken_out(item)
  self.world:note("%s: got %s", self.name, tostring(item))
  local place = self:next_place()
  self.world:must(rawequal(self.items[place], item), "%s: gave %s, not %s", self.name, tostring(item),
    tostring(self.items[place]))
  table.remove(self.items, place)
end

function Queue:finished(n)
  self.unfinished = self.unfinished - n
  if self.unfinished > 0 then return end
  for _, call in ipairs(self.joiners) do call.all_done = true end
end

function Queue:done()
  self:finished(1)
  self.object:task_done()
end

--- ---- operations ----

-- What may end an operation without its having failed.
function Queue:expected(err)
  if async.errors.is(err, async.QueueShutDown) then
    self.world:must(self.shut, "%s: says that it is shut down", self.name)
    return true
  end
  return self.trouble and is_trouble(err)
end

function Queue:put(proc, op)
  local item = self:new_item(op.priority)
  local _, err = self.world:perform(proc, op, self.putters, function(call)
    local full = self.object:full()
    self.object:put(item)
    self.world:must(not (full and self.world:at_once(call)), "%s: takes an item though it is full", self.name)
    self:put_in(item)
    self.world:grant(call)
  end)
  if err and not self:expected(err) then error(err, 0) end
end

-- A cancelled getter may have been promised an item, and the place of that be taken: see Queue:check.
function Queue:get_by(proc, op, get)
  local call, err = self.world:perform(proc, op, self.getters, function(call)
    local item = get()
    if item == nil then error(async.QueueShutDown(), 0) end
    self:taken_out(item)
    self.world:grant(call)
  end, function(_, err)
    if not async.errors.is(err, async.QueueShutDown) then self.given_back = self.given_back + 1 return end
    self.world:must(#self.items == 0, "%s: is at its end with %d items", self.name, #self.items)
  end)
  local ok, inner = true, nil
  if call and call.got then
    if not err then ok, inner = pcall(self.world.hold, self.world, op.work) end
    if not op.forget then self:done() end
  end
  if not ok then error(inner, 0) end
  if err and not self:expected(err) then error(err, 0) end
end

function Queue:get(proc, op)
  return self:get_by(proc, op, function() return self.object:get() end)
end

function Queue:iter(proc, op)
  local next_item, state = self.object:iter()
  return self:get_by(proc, op, function() return next_item(state) end)
end

function Queue:join(proc, op)
  local _, err = self.world:perform(proc, op, self.joiners, function(call)
    local nothing_left = self.unfinished == 0
    self.object:join()
    self.world:must(self.world:at_once(call) == nothing_left, "%s: %d unfinished, and join has%s waited", self.name,
      self.unfinished, nothing_left and "" or " not")
    self.world:must(nothing_left or call.all_done, "%s: join ends too early", self.name)
    self.world:grant(call, function(other) return other.all_done end)
  end)
  if err then error(err, 0) end
end

--- ---- operations that do not wait, and acts ----

function Queue:put_nowait(_, op)
  local item, full = self:new_item(op.priority), self.object:full()
  local ok, err = pcall(self.object.put_nowait, self.object, item)
  if ok then
    self.world:must(not full, "%s: takes an item though it is full", self.name)
    self:put_in(item)
  elseif async.errors.is(err, async.QueueFull) then
    self.world:must(full, "%s: says that it is full", self.name)
  else
    self.world:must(self:expected(err), "%s: put_nowait: %s", self.name, tostring(err))
  end
end

function Queue:burst(_, op)
  for i = 1, op.n do self:put_nowait(nil, { priority = 1 + (op.priority + i) % 3 }) end
end

function Queue:get_nowait()
  local empty = self.object:empty()
  local ok, item = pcall(self.object.get_nowait, self.object)
  if ok then
    self:taken_out(item)
    self:done()
  elseif async.errors.is(item, async.QueueEmpty) then
    self.world:must(empty, "%s: says that it is empty", self.name)
  else
    self.world:must(self:expected(item), "%s: get_nowait: %s", self.name, tostring(item))
  end
end

function Queue:done_too_often()
  if self.unfinished > 0 then return end
  local ok, err = pcall(self.object.task_done, self.object)
  self.world:must(not ok and err.name == "ValueError", "%s: was done too often", self.name)
end

function Queue:shutdown()
  self.shut = true
  self.object:shutdown()
end

function Queue:shutdown_now()
  self.shut = true
  self:finished(#self.items)
  self.items = {}
  self.object:shutdown(true)
end

--- ---- what must hold ----

local function is_not_done(call) return not call.all_done end

function Queue:check()
  local world, statistics, size = self.world, self.object:statistics(), self.object:qsize()
  world:must(statistics.size == size and self.object:empty() == (size == 0), "%s: size, empty() differ", self.name)
  world:must(size <= #self.items and #self.items - size <= #self.getters, "%s: has %d items, it counts %d", self.name,
    #self.items, size)
  world:must(self.maxsize == 0 or size <= self.maxsize + self.given_back, "%s: has %d items of at most %d", self.name,
    size, self.maxsize)
  world:must(statistics.unfinished == self.unfinished, "%s: %d unfinished, it counts %d", self.name, self.unfinished,
    statistics.unfinished)
  world:must(statistics.shut_down == self.shut, "%s: shut_down is wrong", self.name)
  world:must(statistics.getters == 0 or size == 0, "%s: %d items, and %d wait", self.name, size, statistics.getters)
  world:must(statistics.putters == 0 or self.object:full(), "%s: not full, and %d wait", self.name, statistics.putters)
  local joiners = world:count(self.joiners, is_not_done)
  world:must(statistics.joiners == joiners, "%s: %d join, it counts %d", self.name, joiners, statistics.joiners)
  world:must(statistics.waiters == statistics.getters + statistics.putters, "%s: waiters is wrong", self.name)
end

function Queue:quiet()
  local world, statistics = self.world, self.object:statistics()
  world:must(statistics.size == #self.items, "%s: has %d items, it counts %d", self.name, #self.items, statistics.size)
  local full = self.maxsize > 0 and #self.items >= self.maxsize
  world:must(self.object:full() == full, "%s: full() is wrong with %d items", self.name, #self.items)
  for _, line in ipairs({ "getters", "putters", "joiners" }) do
    local n = #self[line]
    world:must(statistics[line] == n, "%s: %d %s, it counts %d", self.name, n, line, statistics[line])
  end
  world:must(#self.getters == 0 or not self.shut or #self.items > 0, "%s: a getter is left behind", self.name)
  world:must(#self.putters == 0 or not self.shut, "%s: a putter is left behind", self.name)
end

-- Takes all out, in the right order, and is done with it.
function Queue:empty_it()
  while #self.items > 0 and not self.world.failure do
    self.world:must(not self.object:empty(), "%s: %d items are lost", self.name, #self.items)
    self:get_nowait()
  end
  while self.unfinished > 0 do self:done() end
end

function Queue:drain()
  self.trouble = nil
  if self.ends == "shut down" then self:shutdown() end
  if self.ends == "throw away" then self:shutdown_now() end
  self:empty_it()
  if #self.getters > 0 and not self.shut then
    for _ = 1, #self.getters do self:put_nowait(nil, { priority = 1 }) end
  end
end

function Queue:finish()
  self.trouble = nil
  self:empty_it()
  local statistics = self.object:statistics()
  self.world:must(self.object:empty() and statistics.unfinished == 0, "%s: something is left in it", self.name)
  self.world:must(statistics.waiters == 0 and statistics.joiners == 0, "%s: waiters are left", self.name)
end

return Queue
