--- Random programs: made from a seed, as data, so that they can be printed and shrunk.
--
-- A program is { seed=, subjects = { {kind=, ...}, ... }, tasks = { {op, op, ...}, ... },
-- strikes = { {at=, name=, task=}, ... } }.
-- What the operations are is the matter of each kind: see property_locks.lua.
local kinds = require "spec.support.property_kinds"

local program = {}

--- ---- random numbers: rng(n) is one of 1 to n. A generator of our own, the same on every Lua. ----

local Rng = {}
Rng.__index = Rng

function Rng.new(seed)
  local rng = setmetatable({ state = seed * 0x5851F42D4C957F2D + 0x14057B7EF767814F }, Rng)
  for _ = 1, 3 do rng(1) end
  return rng
end

function Rng:__call(n)
  self.state = self.state * 0x5851F42D4C957F2D + 0x14057B7EF767814F
  local bits = self.state ~ (self.state >> 29)
  return 1 + ((bits >> 33) % n)
end

function Rng:pick(list) return list[self(#list)] end

--- Is it the case, once in n times?
function Rng:chance(n) return self(n) == 1 end

local deadlines = { "far", "wait_for", "wait_for_zero", "zero", "past", "scope", "scope", "scope", "two_scopes" }
local ways = { "task", "gather", "coroutine" }

function Rng:deadline() return self:chance(2) and self:pick(deadlines) or "none" end

function Rng:way() return self:chance(4) and self:pick(ways) or "call" end

--- ---- programs ----

local function make_op(rng, subjects, first)
  local spec = subjects[first + rng(#subjects - first + 1) - 1]
  local op = kinds[spec.kind].op(rng, spec)
  if op.hold and spec.id < #subjects and rng:chance(3) then
    op.body = { make_op(rng, subjects, spec.id + 1) } -- only what comes later, so that no two tasks wait in a ring
  end
  return op
end

local names = { "cancel", "cancel", "cancel", "cancel_twice", "cancel_uncancel", "expire", "expire", "expire_outer" }

-- Strikes a task, a fixed one or the n-th of those that wait.
local function make_strike(rng, tasks, at)
  local strike = { at = at, task = rng(tasks), waiting = rng:chance(2) and rng(3) or nil, soon = rng:chance(8) or nil }
  strike.name = rng:chance(100) and "expire_soon" or rng:pick(names)
  return strike
end

-- Something is done, which wakes tasks; often with a strike at one of these before it runs, or just before it is woken.
local function make_act(rng, subjects, tasks, at)
  local spec = rng:pick(subjects)
  local strikes = { { at = at, name = "act", act = kinds[spec.kind].act(rng, spec), soon = rng:chance(8) or nil } }
  for _ = 1, rng(3) - 1 do table.insert(strikes, rng(#strikes + 1), make_strike(rng, tasks, at)) end
  return strikes
end

local function make_strikes(rng, subjects, tasks)
  local strikes, times = {}, {}
  for i = 1, rng(6) - 1 do times[i] = rng(10 * tasks) end
  table.sort(times)
  for _, at in ipairs(times) do
    local some = rng:chance(3) and make_act(rng, subjects, tasks, at) or { make_strike(rng, tasks, at) }
    table.move(some, 1, #some, #strikes + 1, strikes)
  end
  return strikes
end

--- The program of a seed. `kind`: of that kind alone.
function program.make(seed, kind)
  local rng = Rng.new(seed)
  local made = { seed = seed, debug = rng:chance(20) or nil, drain = rng:pick({ "serve", "serve", "cancel", "leave" }) }
  made.subjects, made.tasks = {}, {}
  for id = 1, rng:chance(3) and 2 or 1 do
    local name = kind or rng:pick(kinds.names)
    local spec = kinds[name].new(rng)
    spec.kind, spec.id = name, id
    made.subjects[id] = spec
  end
  for id = 1, 1 + rng(5) do
    local ops = {}
    for i = 1, rng(4) do ops[i] = make_op(rng, made.subjects, 1) end
    made.tasks[id] = ops
  end
  made.strikes = make_strikes(rng, made.subjects, #made.tasks)
  return made
end

--- ---- as text ----

local function fields(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts, keys = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local text = fields(value[key])
    parts[#parts + 1] = type(key) == "number" and text or key .. "=" .. text
  end
  return "{" .. table.concat(parts, " ") .. "}"
end

function program.text(made)
  local lines = { ("drain: %s%s"):format(made.drain, made.debug and ", debug mode" or "") }
  for _, spec in ipairs(made.subjects) do lines[#lines + 1] = ("object %d: %s"):format(spec.id, fields(spec)) end
  for id, ops in ipairs(made.tasks) do
    for _, op in ipairs(ops) do lines[#lines + 1] = ("task %d: %s"):format(id, fields(op)) end
  end
  for _, strike in ipairs(made.strikes) do lines[#lines + 1] = "strike: " .. fields(strike) end
  return table.concat(lines, "\n")
end

--- ---- shrinking ----

local function copy(value)
  if type(value) ~= "table" then return value end
  local result = {}
  for key, entry in pairs(value) do result[key] = copy(entry) end
  return result
end

-- Every way of making the program smaller by one step: calls try(smaller) for each, with a copy.
local function each_smaller(made, try)
  local function without(list_of, count)
    for i = count, 1, -1 do
      local smaller = copy(made)
      table.remove(list_of(smaller), i)
      if try(smaller) then return true end
    end
  end
  if without(function(p) return p.strikes end, #made.strikes) then return true end
  for id, ops in ipairs(made.tasks) do
    if without(function(p) return p.tasks[id] end, #ops) then return true end
    for i, op in ipairs(ops) do
      for _, key in ipairs({ "body", "deadline", "way", "swallow", "hold" }) do
        local smaller = copy(made)
        smaller.tasks[id][i][key] = nil
        if op[key] and try(smaller) then return true end
      end
      if op.wait and next(op.wait) then
        local smaller = copy(made)
        smaller.tasks[id][i].wait = {}
        if try(smaller) then return true end
      end
    end
  end
end

--- The smallest program found for which fails(program) still holds, in about this many seconds.
function program.shrink(made, fails, seconds)
  local stop = os.time() + seconds
  repeat
    local shrunk = each_smaller(made, function(smaller)
      if os.time() > stop or not fails(smaller) then return false end
      made = smaller
      return true
    end)
  until not shrunk
  return made
end

return program
