local std = require "luawait.std"

local pack, unpack = table.pack, table.unpack
local SEED = 20240611

-- Runs fn(...) in a coroutine whose yields are waits, and resumes it until it ends, as a task is. Returns how often it
-- waited, then what pcall would return.
local function drive(fn, ...)
  local co = coroutine.create(fn)
  local result, waits = pack(coroutine.resume(co, ...)), 0
  while coroutine.status(co) == "suspended" do
    result, waits = pack(coroutine.resume(co)), waits + 1
  end
  coroutine.close(co)
  return waits, unpack(result, 1, result.n)
end

local function wait()
  coroutine.yield()
end

local function without_position(message)
  return type(message) == "string" and message:gsub("^[^%s:]*:%d+: ", "") or message
end

-- What a call gave, in a form that `same` compares: errors without their position.
local function outcome(ok, ...)
  local values = pack(ok, ...)
  if not ok then values[2] = without_position(values[2]) end
  return values
end

local function driven(fn, ...)
  return outcome(select(2, drive(fn, ...)))
end

-- Calls are not tail calls, and the name is in a local, so that the original finds the name and the line to blame.
local function calling(call, ...)
  local args = pack(...)
  return function()
    local result = pack(call(unpack(args, 1, args.n)))
    return unpack(result, 1, result.n)
  end
end

local function assert_same_errors(original, replacement, name, cases)
  for _, args in ipairs(cases) do
    local function messages(fn)
      local _, message = pcall(calling(fn, unpack(args, 1, args.n or #args)))
      return message
    end
    local wanted, got = messages(original), messages(replacement)
    assert.is_string(wanted)
    -- The original is called through the local `call` too; `no value` is told from nil only where it matters.
    wanted = without_position(wanted):gsub("'call'", "'" .. name .. "'"):gsub("got no value", "got nil")
    assert.equal(wanted, without_position(got))
    assert.truthy(got:find("std_spec.lua:", 1, true), got)
  end
end

describe("std.sort", function()
  local function random_list(n, range)
    local list = {}
    for i = 1, n do list[i] = math.random(range) end
    return list
  end

  local function descending(a, b)
    wait()
    return a > b
  end

  it("sorts as table.sort does, with a less that waits", function()
    math.randomseed(SEED)
    for n = 0, 120 do
      local list = random_list(n, 50)
      local wanted = table.move(list, 1, n, 1, {})
      table.sort(wanted, function(a, b) return a > b end)
      local waits, ok = drive(std.sort, list, descending)
      assert.is_true(ok)
      assert.same(wanted, list)
      assert.equal(n > 1, waits > 0)
    end
  end)

  it("sorts as table.sort does without a less", function()
    math.randomseed(SEED)
    for n = 0, 60 do
      local list = random_list(n, 20)
      if n % 2 == 1 then
        for i = 1, n do list[i] = "s" .. list[i] end
      end
      local wanted = table.move(list, 1, n, 1, {})
      table.sort(wanted)
      std.sort(list)
      assert.same(wanted, list)
    end
  end)

  it("compares with a __lt that waits", function()
    local meta = {__lt = function(a, b)
      wait()
      return a.key < b.key
    end}
    local list = {}
    for i, key in ipairs {5, 3, 9, 1, 7} do list[i] = setmetatable({key = key}, meta) end
    local waits, ok = drive(std.sort, list)
    assert.is_true(ok)
    assert.is_true(waits > 0)
    for i, item in ipairs(list) do assert.equal(2 * i - 1, item.key) end
  end)

  it("keeps the order of equal items", function()
    math.randomseed(SEED)
    local list = {}
    for i = 1, 500 do list[i] = {key = math.random(10), place = i} end
    std.sort(list, function(a, b) return a.key < b.key end)
    for i = 2, #list do
      local a, b = list[i - 1], list[i]
      assert.is_true(a.key < b.key or a.key == b.key and a.place < b.place)
    end
  end)

  it("needs at most n log2 n comparisons", function()
    math.randomseed(SEED)
    local count = 0
    std.sort(random_list(1024, 1e6), function(a, b)
      count = count + 1
      return a < b
    end)
    assert.is_true(count <= 1024 * 10)
  end)

  -- An object that keeps its items elsewhere and waits at each access.
  local function remote(items)
    return {
      __index = function(_, i)
        wait()
        return items[i]
      end,
      __newindex = function(_, i, v)
        wait()
        items[i] = v
      end,
      __len = function()
        wait()
        return #items
      end,
    }
  end

  it("reads and writes through __index, __newindex and __len that wait", function()
    local items = {3, 1, 2}
    local waits, ok = drive(std.sort, setmetatable({}, remote(items)))
    assert.is_true(ok)
    assert.equal(7, waits)
    assert.same({1, 2, 3}, items)
  end)

  it("takes an object that is no table when it has these metamethods", function()
    local items = {3, 1, 2}
    local object = coroutine.create(print)
    debug.setmetatable(object, remote(items))
    local called, _, ok = pcall(drive, std.sort, object)
    debug.setmetatable(object, nil)
    assert.is_true(called and ok)
    assert.same({1, 2, 3}, items)
  end)

  it("has the argument errors of table.sort", function()
    local function sized(n) return setmetatable({}, {__len = function() return n end}) end
    assert_same_errors(table.sort, std.sort, "sort", {
      {n = 0}, {nil, n = 1}, {"abc"}, {12}, {print}, {{1, 2}, {}}, {{1, 2}, "less"}, {{1, 2}, false},
      {sized("x")}, {sized(1.5)}, {sized({})}, {sized(0x7fffffff)}, {sized(1 << 40)},
      {setmetatable({1, 2}, {__name = "List"}), setmetatable({}, {__name = "Less"})},
    })
    local _, message = pcall(function() std.sort(nil) end)
    assert.equal("bad argument #1 to 'sort' (table expected, got nil)", without_position(message))
  end)

  it("looks at the second argument only when there is something to compare, as table.sort", function()
    std.sort({}, "less")
    std.sort({1}, {})
    std.sort(setmetatable({}, {__len = function() return -5 end}), 7)
    std.sort(setmetatable({1, 2}, {__len = function() return "1" end}), 7)
  end)

  it("raises what the comparison of mixed values raises", function()
    for _, list in ipairs {{1, "a"}, {{}, {}}, {1, {}}, {true, false}} do
      local wanted = outcome(pcall(table.sort, table.move(list, 1, #list, 1, {})))
      assert.same(wanted, outcome(pcall(std.sort, list)))
    end
  end)

  it("ends with a permutation whatever the order function says", function()
    math.randomseed(SEED)
    local orders = {
      function() return true end,
      function() return false end,
      function() return math.random(2) == 1 end,
      function(a, b) return a <= b end,
      function(a) return a % 2 == 0 and "odd" or nil end,
    }
    for _, less in ipairs(orders) do
      for n = 0, 40 do
        local list = random_list(n, 1e9)
        local before = table.move(list, 1, n, 1, {})
        std.sort(list, less)
        table.sort(before)
        table.sort(list)
        assert.same(before, list)
      end
    end
  end)

  it("leaves the list as it was when less raises", function()
    for stop = 1, 20 do
      local list, count, failure = {8, 3, 5, 1, 9, 2, 7, 4, 6}, 0, {}
      local _, ok, err = drive(std.sort, list, function(a, b)
        wait()
        count = count + 1
        if count == stop then error(failure) end
        return a < b
      end)
      if not ok then
        assert.equal(failure, err)
        assert.same({8, 3, 5, 1, 9, 2, 7, 4, 6}, list)
      end
      assert.equal(count < stop, ok)
    end
  end)

  it("leaves the list as it was when the wait never ends", function()
    local list = {3, 2, 1}
    local co = coroutine.create(std.sort)
    assert.is_true(coroutine.resume(co, list, descending))
    assert.is_true(coroutine.close(co))
    assert.same({3, 2, 1}, list)
  end)
end)

describe("std.gsub", function()
  -- The kinds of replacement that call back, each made with the wait to use, and what they can answer.
  local answers = {
    function(...) return table.concat({...}, "|") end,
    function(first) return first end,
    function() return false end,
    function() return nil end,
    function() return 1.5 end,
    function() return 42 end,
    function() return "" end,
    function() return "%1" end,
    function(first) if first == "a" then return "<a>" end end,
    function(first) if first == "b" then return {} end end,
    function() return true end,
    function() return end,
  }

  local function as_function(answer, pause)
    return function(...)
      pause()
      return answer(...)
    end
  end

  local function as_table(answer, pause)
    return setmetatable({ab = "[AB]", [1] = "one"}, {__index = function(_, key)
      pause()
      return (answer(key))
    end})
  end

  local function no_wait() end

  local function assert_like_gsub(subject, pattern, answer, n)
    for _, make in ipairs {as_function, as_table} do
      local wanted = outcome(pcall(string.gsub, subject, pattern, make(answer, no_wait), n))
      local got = driven(std.gsub, subject, pattern, make(answer, wait), n)
      assert.same(wanted, got, ("%q %q"):format(subject, pattern))
    end
  end

  it("finds the matches that string.gsub finds", function()
    local patterns = {
      "", "a", ".", "a*", "a-", ".-", "%w+", "%a*", "^", "^a", "^a*", "^.", "$", "a$", "^$", "^.*$", "%f[%w]%w+",
      "%f[^%w]", "%f[%z]", "()", "()a", "(a)(b)", "(.)%1", "(a*)(b*)", "((a)b)", "%b()", "[^a]", "[a^]", "%^", "a^",
      "x?", "%s*$", "(a)()", "\0", "%z", "[%a]", "b*()",
    }
    local subjects = {"", "a", "ab", "abab", "aab ba", "hello world", "(a(b)c)", "a\0b", "  trim  ", "^a^", "xx"}
    for _, subject in ipairs(subjects) do
      for _, pattern in ipairs(patterns) do
        for _, answer in ipairs(answers) do assert_like_gsub(subject, pattern, answer) end
      end
    end
  end)

  it("counts like string.gsub", function()
    for _, n in ipairs {0, 1, 2, 3, 100, -1, 2.0, "2", "0x1", math.maxinteger, math.mininteger} do
      assert_like_gsub("abcabc", "%w", answers[2], n)
      assert_like_gsub("abc", "", answers[1], n)
      assert_like_gsub("aaa", "^a", answers[3], n)
    end
  end)

  it("takes numbers as subject and pattern", function()
    assert_like_gsub(12321, 2, answers[1])
    assert_like_gsub(1.5, "%.", answers[6])
    assert_like_gsub(10, "x", answers[1])
    assert.equal("string", type(std.gsub(10, "x", print)))
  end)

  it("fails on a malformed pattern as string.gsub does", function()
    local patterns = {
      "%", "[", "[a", "[^", "[%", "(", "(a", ")", "a)", "%1", "(a)%2", "%f", "%fa", "%b", "%b(", "(()", "^(", "[]",
      "[]a", "%9", ".)", "a)b", ("(a)"):rep(33),
    }
    for _, pattern in ipairs(patterns) do
      for _, subject in ipairs {"", "a", "ab", "xyaa"} do
        assert_like_gsub(subject, pattern, answers[1])
        assert_like_gsub(subject, pattern, answers[1], 0)
      end
    end
    assert_like_gsub(("a"):rep(400), ("a?"):rep(400), answers[1])
    assert_like_gsub(("a"):rep(400), ("(a)"):rep(33), answers[1])
  end)

  it("does what string.gsub does, for random patterns and subjects", function()
    math.randomseed(SEED)
    local items = {
      "a", "b", ".", "%a", "%W", "[ab]", "[^a]", "[%w-]", "(a)", "(.)", "()", "(a*)", "(%s-)", "%f[a]", "%f[%W]", "^",
      "$", "%b()", "%1", "%2", "((.)b)", "%%", " ", ")",
    }
    local repeats = {"", "", "", "*", "+", "-", "?"}
    local letters = {"a", "b", " ", "(", ")", "%", "-", "1", "^"}
    local function random_text(choices, most, other)
      local parts = {}
      for i = 1, math.random(0, most) do
        parts[i] = choices[math.random(#choices)] .. (other and other[math.random(#other)] or "")
      end
      return table.concat(parts)
    end
    for _ = 1, 6000 do
      local subject, pattern = random_text(letters, 12), random_text(items, 4, repeats)
      local n = math.random(3) == 1 and math.random(0, 4) or nil
      assert_like_gsub(subject, pattern, answers[math.random(#answers)], n)
      local text = random_text({"x", "%0", "%1", "%2", "%%", "%", "y"}, 3)
      assert.same(outcome(pcall(string.gsub, subject, pattern, text, n)), driven(std.gsub, subject, pattern, text, n))
    end
  end)

  it("takes strings, numbers and plain tables as string.gsub does", function()
    local repls = {"<%0>", "%1", "%2", "%%", "%", "%x", "", 7, 1.5, {a = "A", b = false, c = 3}, {a = {}}, {}}
    for _, repl in ipairs(repls) do
      for _, pattern in ipairs {"%w", "(a)", "^b", "()", "["} do
        local wanted = outcome(pcall(string.gsub, "abcab", pattern, repl))
        assert.same(wanted, outcome(pcall(std.gsub, "abcab", pattern, repl)))
      end
    end
  end)

  it("waits in each call of the function", function()
    local waits, ok, text, count = drive(std.gsub, "one two three", "%w+", function(word)
      wait()
      return word:upper()
    end)
    assert.same({3, true, "ONE TWO THREE", 3}, {waits, ok, text, count})
  end)

  it("has the argument errors of string.gsub", function()
    local object = setmetatable({}, {__name = "Object"})
    assert_same_errors(string.gsub, std.gsub, "gsub", {
      {n = 0}, {"a"}, {nil, "a", "b"}, {{}, "a", "b"}, {"a", {}, "b"}, {"a", print, print}, {"a", "a"},
      {"a", "a", nil, n = 3}, {"a", "a", true}, {"a", "a", print, "x"}, {"a", "a", print, {}}, {"a", "a", print, 1.5},
      {"a", "a", print, "1.5"}, {object, "a", "b"}, {"a", object, "b"}, {"a", "a", "b", object}, {"a", "a", true, "x"},
    })
    assert_same_errors(string.gsub, std.gsub, "gsub", {
      {"a", "[", print}, {"a", "[", "b"}, {"a", "a", "%"}, {"a", "a", "%x"}, {"a", "a", "%2"},
      {"a", "a", function() return {} end}, {"a", "a", {a = true}},
      {"a", "a", setmetatable({}, {__index = function() return print end})},
    })
  end)

  it("does not count the object of a method call as an argument", function()
    local object = {gsub = std.gsub}
    local original = {gsub = string.gsub}
    local _, got = pcall(function() object:gsub("a", "b") end)
    local _, wanted = pcall(function() original:gsub("a", "b") end)
    assert.equal(without_position(wanted), without_position(got))
    finally(std.uninstall)
    std.install()
    _, got = pcall(function() return (("abc"):gsub(nil)) end)
    assert.equal("bad argument #1 to 'gsub' (string expected, got nil)", without_position(got))
  end)

  it("raises the error of the callback as it is", function()
    local failure = {}
    local _, ok, err = drive(std.gsub, "abc", "b", function()
      wait()
      error(failure)
    end)
    assert.is_false(ok)
    assert.equal(failure, err)
  end)
end)

describe("std.tostring, std.print and std.load", function()
  local function showing(answer)
    return setmetatable({}, {__tostring = function()
      wait()
      return answer
    end})
  end

  it("wait in __tostring", function()
    assert.same({1, true, "shown"}, {drive(std.tostring, showing("shown"))})
    assert.same({1, true, "12"}, {drive(std.tostring, showing(12))})
  end)

  it("give what tostring gives", function()
    local values = {
      true, false, 0, -0.0, 1e100, 1 / 0, 7, "text", "", {}, print, io.stdout, coroutine.create(print),
      setmetatable({}, {__name = "Named"}), setmetatable({}, {__name = 5}), setmetatable({}, {__tostring = false}),
      setmetatable({}, {__metatable = "locked", __tostring = function() return "in the box" end}),
      setmetatable({}, {__tostring = setmetatable({}, {__call = function() return "called" end})}),
      setmetatable({}, {__tostring = function() return {} end}), setmetatable({}, {__tostring = function() end}),
    }
    for i = 1, #values do
      assert.same(outcome(pcall(tostring, values[i])), driven(std.tostring, values[i]))
    end
    assert.equal("nil", std.tostring(nil))
    assert.equal("1", std.tostring(1, 2))
  end)

  it("have the errors of tostring", function()
    assert_same_errors(tostring, std.tostring, "tostring", {
      {n = 0}, {setmetatable({}, {__tostring = function() return {} end})},
    })
  end)

  it("print one whole line, after the waits", function()
    local lines = {}
    local path = assert(package.searchpath("luawait.std", package.path))
    local env = setmetatable({print = function(...) lines[#lines + 1] = pack(...) end}, {__index = _G})
    local fresh = assert(loadfile(path, "t", env))()
    local waits, ok = drive(fresh.print, 1, nil, showing("x"), "text", showing("y"), nil)
    assert.same({2, true}, {waits, ok})
    assert.same({{"1", "nil", "x", "text", "y", "nil", n = 6}}, lines)
    assert.is_false((select(2, drive(fresh.print, "lost", showing({})))))
    assert.equal(1, #lines)
  end)

  -- A reader of these pieces, then nil.
  local function reader(pieces)
    local i = 0
    return function()
      wait()
      i = i + 1
      return pieces[i]
    end
  end

  it("load from a reader that waits", function()
    local waits, ok, chunk = drive(std.load, reader {"return ", 1, "+", "1", "", " error"})
    assert.is_true(ok)
    assert.equal(5, waits)
    assert.equal(2, chunk())
    assert.equal("(load)", debug.getinfo(chunk).short_src)
    waits, ok, chunk = drive(std.load, reader {"return x, ", "..."}, "=name", "t", {x = 5})
    assert.equal(3, waits)
    assert.is_true(ok)
    assert.same({5, 6}, {chunk(6)})
    assert.equal("name", debug.getinfo(chunk).short_src)
  end)

  it("load as load does", function()
    local failure = {}
    local cases = {
      {"return 1"}, {"return +"}, {"return 1", "=name"}, {12}, {"x", nil, "b"}, {"return x", "=n", "t", nil, n = 4},
      {function() end}, {function() return {} end}, {function() error(failure) end}, {function() error("text", 0) end},
      {function() return "" end}, {function() return nil, "rest" end},
    }
    for _, args in ipairs(cases) do
      local function result(fn)
        -- `load` hands an error of the reader to the message handler in force, of which pcall has none.
        local ok, chunk, message = pcall(fn, unpack(args, 1, args.n or 3))
        return {ok, type(chunk), without_position(message)}
      end
      assert.same(result(load), result(std.load))
    end
    assert.same({nil, "(load):1: unexpected symbol near '+'"}, {select(3, drive(std.load, reader {"return +"}))})
    assert.has_error(std.load("return x", "=n", "t", nil))
    assert_same_errors(load, std.load, "load", {
      {nil, n = 1}, {{}}, {"x", {}}, {"x", nil, {}}, {print, "=name", true}, {setmetatable({}, {__name = "Chunk"})},
    })
  end)
end)

describe("std.require", function()
  local NAMES = {"std_spec.a", "std_spec.b", "std_spec.c"}
  local A, B, C = unpack(NAMES)
  local searchers

  before_each(function() searchers = package.searchers end)
  after_each(function()
    package.searchers = searchers
    for _, name in ipairs(NAMES) do package.preload[name], package.loaded[name] = nil, nil end
  end)

  it("runs a loader that waits and gives what require gives", function()
    package.preload[A] = function(...)
      wait()
      return {args = pack(...)}
    end
    local waits, ok, module, data = drive(std.require, A)
    assert.same({1, true, ":preload:"}, {waits, ok, data})
    assert.equal(module, package.loaded[A])
    assert.same({A, ":preload:", n = 2}, module.args)
    assert.same({n = 1, module}, pack(std.require(A)))
    assert.same({n = 1, module}, pack(require(A)))
  end)

  it("loads a file whose top level waits", function()
    local path = os.tmpname()
    local folder, name = path:match("^(.*[/\\])([^/\\]*)$")
    local old_path = package.path
    finally(function()
      package.path = old_path
      package.loaded[name] = nil
      os.remove(path)
    end)
    do
      local file <close> = assert(io.open(path, "w"))
      file:write("coroutine.yield() return {name = ..., path = select(2, ...)}")
    end
    package.path = folder .. "?"
    local waits, ok, module, data = drive(std.require, name)
    assert.same({1, true, path}, {waits, ok, data})
    assert.same({name = name, path = path}, module)
  end)

  it("treats what a loader returns and stores as require does", function()
    local loaders = {
      function() end,
      function() return nil end,
      function() return false end,
      function() return 5, 6 end,
      function(name) package.loaded[name] = "stored" end,
      function(name) package.loaded[name] = "stored" return "returned" end,
      function(name) package.loaded[name] = false end,
      function() error("failed", 0) end,
      function() error({}) end,
    }
    for _, loader in ipairs(loaders) do
      package.preload[A] = loader
      local function result(fn)
        package.loaded[A] = nil
        local first, second = outcome(pcall(fn, A)), outcome(pcall(fn, A))
        return {first, second, package.loaded[A]}
      end
      assert.same(result(require), result(std.require))
    end
  end)

  it("asks the searchers as require does", function()
    local loader = function(...) return {...} end
    local lists = {
      {},
      {function() return "one" end, function() return "two" end},
      {function() return "one" end, function() end, function() return 3 end, function() return {} end},
      {function() return "one" end, function() return loader, {"data"} end, function() error("not asked") end},
      {function() return loader end},
      {function() error("broken searcher", 0) end},
      {function() return "one" end, nil, function() return loader end},
      "no table",
    }
    for _, list in ipairs(lists) do
      package.searchers = list
      local function result(fn)
        package.loaded[A] = nil
        return outcome(pcall(fn, A))
      end
      assert.same(result(require), result(std.require))
    end
    package.searchers = {function()
      wait()
      return loader, "late"
    end}
    package.loaded[A] = nil
    assert.same({1, true, {A, "late"}, "late"}, {drive(std.require, A)})
  end)

  it("has the errors of require", function()
    assert_same_errors(require, std.require, "require", {
      {n = 0}, {nil, n = 1}, {{}}, {true}, {"std_spec.no.such.module"}, {12.5},
    })
  end)

  it("leaves nothing behind when a load fails", function()
    local attempts = 0
    package.preload[A] = function(name)
      attempts = attempts + 1
      package.loaded[name] = "half done"
      wait()
      if attempts == 1 then error("failed", 0) end
      return "module"
    end
    assert.same({1, false, "failed"}, {drive(std.require, A)})
    assert.is_nil(package.loaded[A])
    assert.same({1, true, "module", ":preload:"}, {drive(std.require, A)})
  end)

  it("can load anew after a coroutine was closed, dropped or died in the middle of a load", function()
    local fast, fail = false, false
    package.preload[A] = function(name)
      if not fast then wait() end
      package.loaded[name] = "half done"
      if fail then error("failed", 0) end
      return "module"
    end
    local co = coroutine.create(std.require)
    assert.is_true(coroutine.resume(co, A))
    assert.is_true(coroutine.close(co))
    co = coroutine.create(std.require)
    assert.is_true(coroutine.resume(co, A))
    co = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    fast, fail = true, true
    co = coroutine.create(std.require)
    assert.same({false, "failed"}, {coroutine.resume(co, A)})
    fail = false
    assert.equal("module", (std.require(A)))
    coroutine.close(co)
    assert.equal("module", package.loaded[A])
  end)

  it("says so when a module needs itself", function()
    package.preload[A] = function() return std.require(B) end
    package.preload[B] = function() return std.require(C) end
    package.preload[C] = function()
      local module = std.require(A)
      return module
    end
    for _ = 1, 2 do
      local ok, message = pcall(std.require, A)
      assert.is_false(ok)
      assert.truthy(message:find("std_spec%.lua:%d+: .*'std_spec%.a'"), message)
      assert.is_nil(package.loaded[A] or package.loaded[B] or package.loaded[C])
    end
  end)

  it("gives a module that needs itself what is in package.loaded so far", function()
    local module = {}
    package.preload[A] = function(name)
      package.loaded[name] = module
      module.b = std.require(B)
      return module
    end
    package.preload[B] = function()
      local a = std.require(A)
      return {a = a}
    end
    assert.equal(module, (std.require(A)))
    assert.equal(module, module.b.a)
  end)

  it("cannot wait for another load outside a task", function()
    package.preload[A] = function()
      wait()
      return "module"
    end
    local co = coroutine.create(std.require)
    assert.is_true(coroutine.resume(co, A))
    local ok, message = pcall(function() std.require(A) end)
    assert.is_false(ok)
    assert.truthy(message:find("std_spec%.lua:%d+: module 'std_spec%.a' is being loaded elsewhere"), message)
    assert.is_true(coroutine.resume(co))
    assert.equal("module", std.require(A))
  end)
end)

describe("std.install", function()
  local places = {
    {_G, {"pcall", "xpcall", "require", "tostring", "print", "load"}},
    {table, {"sort"}},
    {string, {"gsub"}},
    {coroutine, {"create", "resume", "wrap", "yield", "close", "status", "isyieldable", "running"}},
  }

  local function snapshot()
    local values = {}
    for _, place in ipairs(places) do
      for key, value in pairs(place[1]) do values[#values + 1] = {place[1], key, value} end
    end
    return values
  end

  local function assert_unchanged(values)
    for _, entry in ipairs(values) do assert.is_true(rawequal(entry[3], rawget(entry[1], entry[2])), entry[2]) end
  end

  after_each(std.uninstall)

  it("patches nothing unasked, and takes everything back exactly", function()
    local before = snapshot()
    for _ = 1, 2 do
      std.install()
      std.install()
      for _, place in ipairs(places) do
        for _, key in ipairs(place[2]) do
          local wanted = place[1] == coroutine and std.coroutine[key] or std[key]
          assert.is_true(wanted ~= nil and rawequal(wanted, place[1][key]), key)
        end
      end
      std.uninstall()
      assert_unchanged(before)
      std.uninstall()
      assert_unchanged(before)
    end
    assert.equal(#before, #snapshot())
  end)

  it("leaves alone what somebody else put in place since", function()
    local before, theirs = table.sort, function() end
    finally(function() table.sort = before end) -- luacheck: ignore 122
    std.install()
    table.sort = theirs -- luacheck: ignore 122
    std.install()
    assert.equal(theirs, table.sort)
    std.uninstall()
    assert.equal(theirs, table.sort)
    std.install()
    assert.equal(std.sort, table.sort)
    std.uninstall()
    assert.equal(theirs, table.sort)
  end)

  it("does not bring back what a host took out", function()
    local before = load
    finally(function() rawset(_G, "load", before) end)
    rawset(_G, "load", nil)
    std.install()
    assert.is_nil(rawget(_G, "load"))
    std.uninstall()
    assert.is_nil(rawget(_G, "load"))
  end)

  it("takes no arguments", function()
    local sort = table.sort
    assert.error_matches(function() std.install(_G) end, "bad argument #1 to 'install' %(no value expected%)")
    assert.equal(sort, table.sort)
  end)

  it("gives the installed functions the originals' results", function()
    std.install()
    local list = {3, 1, 2}
    table.sort(list, function(a, b) return a > b end)
    assert.same({3, 2, 1}, list)
    assert.same({"h3ll0", 2}, {("hello"):gsub("[eo]", {e = "3", o = "0"})})
    assert.same({"HELLO", 1}, {("hello"):gsub(".+", string.upper)})
    assert.same({"string", "5"}, {type(tostring(print)), tostring(5)})
    assert.equal(std, require "luawait.std")
    assert.equal(4, load("return 4")())
    assert.same({false, "text"}, {pcall(error, "text", 0)})
    assert.same({1, 2}, {coroutine.wrap(function() return 1, 2 end)()})
  end)
end)

describe("std.coroutine", function()
  -- What resume and wrap of a library give for a use of these: the outcomes of its calls, whose text names no library.
  local function outcomes(library, use)
    local list = use(library)
    for i, each in ipairs(list) do
      for j = 1, each.n do
        if type(each[j]) == "string" then list[i][j] = each[j]:gsub("^[%w_./]+:%d+: ", "AT: ", 1) end
      end
    end
    return list
  end

  local function many(n)
    return table.unpack({}, 1, n)
  end

  local uses = {
    ["results and errors of resume"] = function(lib)
      local co = lib.create(function(a) local b = lib.yield(a, nil) error({ b }) end)
      return { outcome(lib.resume(co, 1)), outcome(type(select(2, lib.resume(co, 2)))), outcome(lib.resume(co)) }
    end,
    ["a finished coroutine"] = function(lib)
      local co, wrapped = lib.create(function() end), lib.wrap(function() end)
      lib.resume(co)
      wrapped()
      return { outcome(lib.resume(co, 1, 2)), outcome(pcall(wrapped)) }
    end,
    ["an error with text out of wrap"] = function(lib)
      local wrapped = lib.wrap(function() error("text") end)
      return { outcome(pcall(function() local result = wrapped() return result end)) }
    end,
    ["an error with text out of wrap, without a position"] = function(lib)
      return { outcome(pcall(lib.wrap(function() error("text", 0) end))) }
    end,
    ["wrap closes the variables of a coroutine that fails"] = function(lib)
      local closed
      local wrapped = lib.wrap(function()
        local _ <close> = setmetatable({}, { __close = function(_, err) closed = err.text error({ text = "new" }) end })
        error({ text = "old" })
      end)
      local ok, err = pcall(wrapped)
      return { outcome(ok, err.text, closed) }
    end,
    ["more arguments than a coroutine can hold"] = function(lib)
      local function hold(...)
        lib.yield(select("#", ...))
        return ...
      end
      local co, wrapped = lib.create(hold), lib.wrap(hold)
      lib.resume(co, many(400000))
      wrapped(many(400000))
      return { outcome(lib.resume(co, many(700000))), outcome((pcall(wrapped, many(700000)))) }
    end,
    ["more results than the caller can hold"] = function(lib)
      local function body()
        lib.yield(many(400000))
        return "goes on"
      end
      local co, wrapped = lib.create(function() return many(400000) end), lib.wrap(body)
      local function call(...) -- luacheck: ignore
        return { outcome(lib.resume(co)), outcome(pcall(wrapped)), outcome(pcall(wrapped)) }
      end
      return call(many(700000))
    end,
  }

  for name, use in pairs(uses) do
    it("does as Lua's: " .. name, function()
      assert.same(outcomes(coroutine, use), outcomes(std.coroutine, use))
    end)
  end

  it("needs a coroutine to resume, and a function to wrap", function()
    assert.matches("coroutine expected, got number", select(2, pcall(std.coroutine.resume, 42)), 1, true)
    assert.is_false((pcall(std.coroutine.wrap, 42)))
  end)
end)

describe("luawait.std in tasks", function()
  local async = require "luawait"
  local NAMES = {"std_spec.a", "std_spec.b"}
  local A, B = unpack(NAMES)

  after_each(function()
    std.uninstall()
    for _, name in ipairs(NAMES) do package.preload[name], package.loaded[name] = nil, nil end
  end)

  local function awaited(task)
    return outcome(pcall(async.await, task))
  end

  it("suspends only the task whose callback waits", function()
    local steps = {}
    local function step(text)
      steps[#steps + 1] = text
      async.sleep(0)
    end
    async.run(function()
      local other = async.create_task(function()
        for i = 1, 3 do step("other " .. i) end
      end)
      local text = std.gsub("abc", "%w", function(letter)
        step(letter)
        return letter:upper()
      end)
      assert.equal("ABC", text)
      async.await(other)
    end)
    assert.same({"a", "other 1", "b", "other 2", "c", "other 3"}, steps)
  end)

  it("waits in every callback, also inside pcall and coroutines of std", function()
    local function slow(value)
      async.sleep(0)
      return value
    end
    async.run(function()
      local list = {3, 1, 2}
      assert.same({true}, {std.pcall(std.sort, list, function(a, b) return slow(a < b) end)})
      assert.same({1, 2, 3}, list)
      local object = setmetatable({}, {
        __tostring = function() return slow("shown") end,
        __index = function(_, key) return slow(key .. key) end,
      })
      assert.equal("shown", std.tostring(object))
      local pieces = {"return ", "7"}
      assert.equal(7, std.load(function() return slow(table.remove(pieces, 1)) end)())
      local each = std.coroutine.wrap(function()
        for word in ("x y"):gmatch("%w") do std.coroutine.yield((std.gsub(word, "%w", object))) end
      end)
      assert.same({"xx", "yy"}, {each(), each()})
      package.preload[A] = function() return slow("module") end
      assert.same({"module", ":preload:"}, {std.require(A)})
    end)
  end)

  it("leaves the list as it was when a sort is cancelled", function()
    local list = {4, 3, 2, 1}
    async.run(function()
      local task = async.create_task(function()
        std.sort(list, function(a, b)
          async.sleep(a + b == 3 and 3600 or 0)
          return a < b
        end)
      end)
      for _ = 1, 10 do async.sleep(0) end
      assert.is_false(task:done())
      task:cancel()
      async.wait({task})
      assert.is_true(task:cancelled())
    end)
    assert.same({4, 3, 2, 1}, list)
  end)

  it("raises a cancellation out of every function instead of returning it", function()
    local function stuck() async.sleep(3600) end
    local object = setmetatable({}, { __tostring = stuck })
    local calls = {
      function() return std.load(stuck) end,
      function() return std.gsub("a", "a", stuck) end,
      function() return std.tostring(object) end,
      function() return std.print(object) end,
      function() return std.pcall(stuck) end,
      function() return std.xpcall(stuck, debug.traceback) end,
      function() return std.coroutine.resume(coroutine.create(stuck)) end,
      std.coroutine.wrap(stuck),
    }
    async.run(function()
      local tasks, returned = {}, 0
      for i, call in ipairs(calls) do
        tasks[i] = async.create_task(function()
          call()
          returned = returned + 1
        end)
      end
      async.sleep(0)
      for _, task in ipairs(tasks) do task:cancel() end
      async.wait(tasks)
      for i, task in ipairs(tasks) do assert.is_true(task:cancelled(), "call " .. i) end
      assert.equal(0, returned)
    end)
  end)

  -- A module A that the first attempt loads with `first`, later ones with `later`; counts the attempts.
  local function attempts_at(name, first, later)
    local count = {n = 0}
    package.preload[name] = function()
      count.n = count.n + 1
      async.sleep(0)
      return (count.n == 1 and first or later)()
    end
    return count
  end

  local function requiring(name)
    return async.create_task(function() return std.require(name) end)
  end

  it("loads a module once when several tasks require it", function()
    local count = attempts_at(A, function()
      package.loaded[A] = "half done"
      for _ = 1, 3 do async.sleep(0) end
      return "module"
    end)
    async.run(function()
      local tasks = {requiring(A), requiring(A)}
      while not package.loaded[A] do async.sleep(0) end
      tasks[3] = requiring(A)
      assert.same({true, "module", ":preload:", n = 3}, awaited(tasks[1]))
      assert.same({true, "module", n = 2}, awaited(tasks[2]))
      assert.same({true, "module", n = 2}, awaited(tasks[3]))
    end)
    assert.equal(1, count.n)
  end)

  it("lets the waiting tasks try themselves when a load fails", function()
    local count = attempts_at(A, function() error("failed", 0) end, function() return "module" end)
    async.run(function()
      local tasks = {requiring(A), requiring(A), requiring(A)}
      assert.same({false, "failed", n = 2}, awaited(tasks[1]))
      assert.equal("module", awaited(tasks[2])[2])
      assert.equal("module", awaited(tasks[3])[2])
    end)
    assert.equal(2, count.n)
  end)

  it("lets the waiting tasks try themselves when a load is cancelled", function()
    local count = attempts_at(A, function() async.sleep(3600) end, function() return "module" end)
    async.run(function()
      local tasks = {requiring(A), requiring(A)}
      for _ = 1, 3 do async.sleep(0) end
      tasks[1]:cancel()
      assert.same({true, "module", ":preload:", n = 3}, awaited(tasks[2]))
      assert.is_true(tasks[1]:cancelled())
    end)
    assert.equal(2, count.n)
  end)

  it("forgets a waiting task that is cancelled", function()
    local go = false
    package.preload[A] = function()
      while not go do async.sleep(0) end
      return {b = std.require(B)}
    end
    package.preload[B] = function()
      for _ = 1, 3 do async.sleep(0) end
      return "b"
    end
    async.run(function()
      local first = requiring(A)
      local second = async.create_task(function()
        local ok = pcall(std.require, A)
        assert.is_false(ok)
        return std.require(B)
      end)
      for _ = 1, 3 do async.sleep(0) end
      second:cancel()
      async.sleep(0)
      -- The second task loads b and waits for nothing; the first one may wait for it.
      go = true
      assert.same({true, "b", ":preload:", n = 3}, awaited(second))
      assert.same({b = "b"}, awaited(first)[2])
    end)
  end)

  it("says so when modules that two tasks load need each other", function()
    local loads = {n = 0}
    local function needs(other)
      return function(name)
        loads.n = loads.n + 1
        async.sleep(0)
        local module = std.require(other)
        return name .. " with " .. module
      end
    end
    package.preload[A], package.preload[B] = needs(B), needs(A)
    async.run(function()
      local tasks = {requiring(A), requiring(B)}
      for _, task in ipairs(tasks) do
        local result = awaited(task)
        assert.is_false(result[1])
        assert.truthy(result[2]:find("cyclic require: module 'std_spec.", 1, true), result[2])
      end
    end)
    assert.is_true(loads.n >= 2)
    assert.is_nil(package.loaded[A] or package.loaded[B])
  end)

  it("takes the place of the globals when installed", function()
    std.install()
    async.run(function()
      local reached = false
      local task = async.create_task(function()
        pcall(async.sleep, 3600)
        reached = true
      end)
      async.sleep(0)
      task:cancel()
      async.wait({task})
      assert.is_true(task:cancelled())
      assert.is_false(reached)
      local list = {}
      for value in coroutine.wrap(function()
        for i = 1, 3 do
          async.sleep(0)
          coroutine.yield(i)
        end
      end) do list[#list + 1] = value end
      table.sort(list, function(a, b)
        async.sleep(0)
        return a > b
      end)
      assert.same({3, 2, 1}, list)
    end)
  end)
end)
