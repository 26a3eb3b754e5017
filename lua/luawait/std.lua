--- luawait.std: functions of the standard library whose callbacks may wait.
--
-- Lua cannot suspend a task from below a C function that has no continuation. `table.sort`, `string.gsub`, `require`,
-- `tostring`, `print` and `load` with a reader call back in that way, so that a wait in their callbacks raises an
-- error. The functions here do the same in Lua: between the callback and the task there is no C frame.
-- `pcall`, `xpcall` and the coroutine library may wait anyway; here they let cancellation and waiting through.
--
-- Not here, because they may wait as they are: `dofile`, `pairs` (with `__pairs`), metamethods of operators, loaded
-- chunks. Not here, because a line of Lua does it: `ipairs`, `table.concat` and the like on a table whose `__index`
-- waits (use a loop), `string.format("%s", v)` with a `__tostring` that waits (use `std.tostring(v)`).
--
-- A callback that raises, or whose wait is cancelled, ends the call with that error. Outside a task the functions
-- are like the originals. Nothing is patched unless `std.install` is called.

local core = require "luawait.core"

-- The originals, whatever is installed later; also those that must not be looked up in a patched table.
local gsub, find, sub = string.gsub, string.find, string.sub
local table_sort, concat, pack, unpack = table.sort, table.concat, table.pack, table.unpack
local pcall, tostring, print, load = pcall, tostring, print, load
local metatable_of, info_of = debug.getmetatable, debug.getinfo
local running, status = coroutine.running, coroutine.status
local globals, package, loaded = _G, package, package.loaded

---@class luawait.std
local std = {}

-- Argument checks. Each is called by a public function, and its error stands at the line that called that one.

local function metamethod(value, event)
  local meta = metatable_of(value)
  return meta and rawget(meta, event)
end

-- Raises the error of `luaL_argerror`; in a method call the object does not count as an argument.
local function bad_argument(name, index, message)
  if info_of(3, "n").namewhat == "method" then index = index - 1 end
  if index == 0 then error(("calling '%s' on bad self (%s)"):format(name, message), 4) end
  error(("bad argument #%d to '%s' (%s)"):format(index, name, message), 4)
end

local function expected(what, value)
  local name = metamethod(value, "__name")
  return ("%s expected, got %s"):format(what, type(name) == "string" and name or type(value))
end

local function check_string(name, index, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then bad_argument(name, index, expected("string", value)) end
  return value .. ""
end

local function check_count(name, index, value)
  local kind = type(value)
  local number = (kind == "number" or kind == "string") and tonumber(value)
  if not number then bad_argument(name, index, expected("number", value)) end
  local integer = math.tointeger(number)
  if not integer then bad_argument(name, index, "number has no integer representation") end
  return integer
end

local function check_replacement(name, index, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "function" and kind ~= "table" then
    bad_argument(name, index, expected("string/function/table", value))
  end
end

local function check_list(name, index, value)
  local like_a_table = type(value) == "table"
    or metamethod(value, "__index") ~= nil and metamethod(value, "__newindex") ~= nil
    and metamethod(value, "__len") ~= nil
  if not like_a_table then bad_argument(name, index, expected("table", value)) end
  local length = math.tointeger(tonumber(#value))
  if not length then error("object length is not an integer", 3) end
  if length >= 0x7fffffff then bad_argument(name, index, "array too big") end
  return length
end

local function check_function(name, index, value)
  if type(value) ~= "function" then bad_argument(name, index, expected("function", value)) end
end

-- Passes on what pcall of a C function returned; its error gets the position of the caller of a public function
-- that ends with `return at_caller(...)`.
local function at_caller(ok, ...)
  if not ok then error((...), 2) end
  return ...
end

--- `pcall` that lets a cancellation pass instead of catching it. The function may wait.
---@type fun(fn: function, ...: any): boolean, ...: any
std.pcall = core.pcall

--- `xpcall` that lets a cancellation pass instead of catching it. The function may wait, the message handler may not.
---@type fun(fn: function, handler: function, ...: any): boolean, ...: any
std.xpcall = core.xpcall

--- A `coroutine` library with which a wait inside a coroutine suspends the task that resumed it; otherwise the same.
---@type coroutinelib
std.coroutine = core.coroutine

-- Sorting: a merge sort of a copy, so that the list changes only when the order is known.

-- Whether comparing the items calls nothing back; then the C function does it as well, and faster.
local function is_plain(list, n)
  if metatable_of(list) then return false end
  for i = 1, n do
    local kind = type(list[i])
    if kind ~= "number" and kind ~= "string" then return false end
  end
  return true
end

local function less_than(a, b)
  return a < b
end

-- Merges the sorted runs low .. middle - 1 and middle .. high - 1 of `source` into `target`; of equal items the left
-- one comes first.
local function merge(source, target, low, middle, high, less)
  local left, right = low, middle
  for i = low, high - 1 do
    if left < middle and (right >= high or not less(source[right], source[left])) then
      target[i], left = source[left], left + 1
    else
      target[i], right = source[right], right + 1
    end
  end
end

local function merge_sort(items, n, less)
  local source, target, width = items, {}, 1
  while width < n do
    for low = 1, n, 2 * width do
      merge(source, target, low, math.min(low + width, n + 1), math.min(low + 2 * width, n + 1), less)
    end
    source, target, width = target, source, 2 * width
  end
  return source
end

--- `table.sort` whose `less`, `__lt`, `__index`, `__newindex` and `__len` may wait. Sorts in place and is stable.
---
--- The list changes at the end, after the last comparison: when a comparison raises or its wait is cancelled, the
--- list is as it was. What others do to the items 1 .. #list in the meantime is overwritten. A `less` that is no
--- order gives some permutation of the items, never an endless loop.
---@generic T
---@param list T[] a table, or any object with `__index`, `__newindex` and `__len`
---@param less? fun(a: T, b: T): boolean whether `a` comes before `b`; `a < b` if absent
function std.sort(list, less)
  local n = check_list("sort", 1, list)
  if n < 2 then return end
  if less ~= nil then check_function("sort", 2, less) end
  if not less and is_plain(list, n) then return table_sort(list) end
  local items = {}
  for i = 1, n do items[i] = list[i] end
  items = merge_sort(items, n, less or less_than)
  for i = 1, n do list[i] = items[i] end
end

-- Substitution: `find` walks through the subject, as its captures are those of gsub.

-- Whether the pattern closes a capture that nothing opens and has no other special character. `find` takes it for plain
-- text; gsub raises an error where it would match.
local function never_matches(pattern)
  return find(pattern, ")", 1, true) and not find(pattern, "[%^$*+?.(%[%%-]")
end

-- What `repl` has for a match with these captures.
local function value_for(repl, whole, ...)
  if type(repl) == "table" then return repl[... or whole] end
  if ... then return repl(...) end
  return repl(whole)
end

-- Takes what pcall(find, s, pattern, init) returned. Returns where the next match begins and ends and what to put in
-- its place, or nothing. As in gsub, an empty match does not count where the match before it ended (`after_match`:
-- that is at `init`).
local function take_match(s, pattern, repl, init, after_match, ok, first, last, ...)
  if not ok then error(first, 3) end
  if after_match and first == init and last < init then
    return take_match(s, pattern, repl, init, false, pcall(find, s, pattern, init + 1))
  end
  if not first then return end
  local whole = sub(s, first, last)
  local value = value_for(repl, whole, ...)
  if not value then return first, last, whole end
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then error(("invalid replacement value (a %s)"):format(kind), 3) end
  return first, last, value
end

--- `string.gsub` whose replacement function, or replacement table's `__index`, may wait. The same in all else.
---@param s string|number
---@param pattern string|number
---@param repl string|number|table|function
---@param n? integer the most replacements to make; no limit if absent
---@return string result
---@return integer count how many matches there were
function std.gsub(s, pattern, repl, n)
  s, pattern = check_string("gsub", 1, s), check_string("gsub", 2, pattern)
  local limit = n == nil and #s + 1 or check_count("gsub", 4, n)
  check_replacement("gsub", 3, repl)
  local calls_back = type(repl) == "function" or type(repl) == "table" and metatable_of(repl)
  if not calls_back or never_matches(pattern) then return at_caller(pcall(gsub, s, pattern, repl, limit)) end

  local anchored = sub(pattern, 1, 1) == "^"
  local parts, init, count = {}, 1, 0
  while count < limit do
    local first, last, value = take_match(s, pattern, repl, init, count > 0, pcall(find, s, pattern, init))
    if not first then break end
    count = count + 1
    parts[#parts + 1] = sub(s, init, first - 1)
    parts[#parts + 1] = value
    init = last + 1
    if anchored then break end
  end
  parts[#parts + 1] = sub(s, init)
  return concat(parts), count
end

-- Modules. A load is known by its name from before the search until the module is there or failed. The table does not
-- hold it: a coroutine that is dropped in the middle of a load takes the load with it.

---@class luawait.std.Load
---@field name string
---@field thread thread the coroutine that loads
---@field owner any the task that loads, or the coroutine outside a task
---@field previous any what package.loaded held before
---@field finished boolean? whether the module is there
---@field event table? set at the end, made by the first task that waits
local Load = {}
Load.__index = Load

local loads = setmetatable({}, {__mode = "v"})    -- by module name
local waiting = setmetatable({}, {__mode = "k"})  -- by task: the load that it waits for

function Load.__close(self)
  if loads[self.name] ~= self then return end
  loads[self.name] = nil
  if not self.finished then loaded[self.name] = self.previous end
  if self.event then self.event:set() end
end

local Waiting = {__close = function(self) waiting[self.task] = nil end}

-- The load of the module that is going on, or nil. A coroutine that died of an error and was not closed has not closed
-- its load either.
local function current_load(name)
  local load_ahead = loads[name]
  if load_ahead and status(load_ahead.thread) == "dead" then Load.__close(load_ahead) end
  return loads[name]
end

-- Waits in `task` until the load ended, well or not.
function Load:wait(task)
  self.event = self.event or core.Event()
  local _ <close> = setmetatable({task = task}, Waiting)
  waiting[task] = self
  self.event:wait()
end

-- Whether the load goes on only when `task` does: it is its own, or that of a task that waits for it.
function Load:needs(task)
  local load_ahead = self
  while load_ahead and load_ahead.owner ~= task do load_ahead = waiting[load_ahead.owner] end
  return load_ahead ~= nil
end

-- Returns the loader of the module and the loader's data; searchers may wait.
local function find_loader(name)
  local searchers = package.searchers
  if type(searchers) ~= "table" then error("'package.searchers' must be a table", 4) end
  local tried = {}
  for i = 1, math.huge do
    local searcher = rawget(searchers, i)
    if searcher == nil then break end
    local loader, data = searcher(name)
    if type(loader) == "function" then return loader, data end
    if type(loader) == "string" or type(loader) == "number" then tried[#tried + 1] = "\n\t" .. loader end
  end
  error(("module '%s' not found:%s"):format(name, concat(tried)), 4)
end

local function load_module(name, task)
  local thread = running()
  local this <close> = setmetatable({name = name, thread = thread, owner = task or thread}, Load)
  this.previous = loaded[name]
  loads[name] = this
  local loader, data = find_loader(name)
  local result = loader(name, data)
  if result ~= nil then loaded[name] = result end
  if loaded[name] == nil then loaded[name] = true end
  this.finished = true
  return loaded[name], data
end

--- `require` whose searchers and modules may wait, at the top level of the file too.
---
--- A module that another task is loading is waited for. If that load fails or is cancelled, one of the waiting tasks
--- loads it anew. A load that fails or is cancelled leaves nothing in `package.loaded`. A module that needs itself,
--- directly or through others, also in other tasks, gets what `package.loaded` holds for it so far, else an error.
--- The original `require`, where it is still used, knows nothing of modules that are being loaded here.
---@param name string
---@return unknown module
---@return unknown loader_data only when this call loaded the module; mostly the name of the file
function std.require(name)
  name = check_string("require", 1, name)
  local ahead = current_load(name)
  if not ahead and loaded[name] then return loaded[name] end
  local task = core.current_task()
  while ahead and task and not ahead:needs(task) do
    ahead:wait(task)
    ahead = current_load(name)
  end
  if loaded[name] then return loaded[name] end
  if ahead then
    local text = task and "cyclic require: module '%s' is still being loaded"
      or "module '%s' is being loaded elsewhere; only a task can wait for it"
    error(text:format(name), 2)
  end
  local value, data = load_module(name, task)
  return value, data
end

-- Text. What a value that has no `__tostring` looks like is left to the original.

local function text_of(value)
  local convert = metamethod(value, "__tostring")
  if not convert then return tostring(value) end
  local text = convert(value)
  local kind = type(text)
  if kind ~= "string" and kind ~= "number" then error("'__tostring' must return a string", 3) end
  return text .. ""
end

--- `tostring` whose `__tostring` may wait.
---@param ... any the value; more are ignored
---@return string
function std.tostring(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'tostring' (value expected)", 2) end
  local text = text_of((...))
  return text
end

--- `print` whose arguments' `__tostring` may wait. Nothing is written before all of them are text, so that the lines
--- of several tasks do not mix.
---@param ... any
function std.print(...)
  local texts = pack(...)
  for i = 1, texts.n do texts[i] = text_of(texts[i]) end
  print(unpack(texts, 1, texts.n))
end

-- The pieces of a reader function as one string.
local function read_all(reader)
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == "" then return concat(pieces) end
    if type(piece) ~= "string" and type(piece) ~= "number" then error("reader function must return a string", 0) end
    pieces[#pieces + 1] = piece
  end
end

--- `load` whose reader function may wait. The reader is called until its end before anything is compiled. An error in
--- it is returned as nil and the error, as `load` does; a cancellation is raised.
---@param chunk string|function the text, or a function that returns it piece by piece and nil or "" at the end
---@param name? string of the chunk, for messages
---@param mode? "b"|"t"|"bt"
---@param ... table the environment, if given
---@return function? chunk nil if it could not be read or compiled
---@return any error
function std.load(chunk, name, mode, ...)
  if mode ~= nil then check_string("load", 3, mode) end
  if name ~= nil then check_string("load", 2, name) end
  if type(chunk) ~= "string" and type(chunk) ~= "number" then
    check_function("load", 1, chunk)
    local ok, text = core.pcall(read_all, chunk)
    if not ok then return nil, text end
    chunk = text
    name = name or "=(load)"
  end
  return load(chunk, name, mode, ...)
end

-- Installing. A slot is a field of a library table; `original` is there while `replacement` is in its place.

---@class luawait.std.Slot
---@field library table
---@field key string
---@field replacement function
---@field original any
local slots = {}

local function add_slots(library, replacements)
  for key, replacement_function in pairs(replacements) do
    slots[#slots + 1] = {library = library, key = key, replacement = replacement_function}
  end
end

add_slots(globals, {
  pcall = std.pcall,
  xpcall = std.xpcall,
  require = std.require,
  tostring = std.tostring,
  print = std.print,
  load = std.load,
})
add_slots(table, {sort = std.sort})
add_slots(string, {gsub = std.gsub})
add_slots(coroutine, std.coroutine)

--- Puts the functions of this module in place of the standard ones: `pcall`, `xpcall`, `require`, `tostring`, `print`,
--- `load`, `table.sort`, `string.gsub` and those of `coroutine`. It sets fields of the existing tables, so a module
--- that keeps the library in a local sees them too; one that keeps the function itself does not.
--- What a host took out of a library stays out. Takes no arguments. Installing twice is installing once.
function std.install(...)
  if select("#", ...) > 0 then error("bad argument #1 to 'install' (no value expected)", 2) end
  for _, slot in ipairs(slots) do
    local current = rawget(slot.library, slot.key)
    if slot.original == nil and current ~= nil then
      slot.original = current
      rawset(slot.library, slot.key, slot.replacement)
    end
  end
end

--- Puts back what `std.install` replaced. A function that somebody else replaced in between is left as it is.
--- Without a preceding `std.install` it does nothing.
function std.uninstall()
  for _, slot in ipairs(slots) do
    if slot.original ~= nil and rawequal(rawget(slot.library, slot.key), slot.replacement) then
      rawset(slot.library, slot.key, slot.original)
    end
    slot.original = nil
  end
end

return std
