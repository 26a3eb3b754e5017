-- The pages say what is so: programs give the output that follows them, links and the tests that a page names exist,
-- and every public name has its definition in types/ and its place in docs/.
local async = require "luawait"
local net = require "luawait.net"
local process = require "luawait.process"
local signal = require "luawait.signal"
local std = require "luawait.std"
local tty = require "luawait.tty"
local helpers = require "spec.support.helpers"

local function list_files(pattern)
  local pipe <close> = assert(io.popen("ls " .. pattern))
  local files = {}
  for name in pipe:lines() do files[#files + 1] = name end
  return files
end

local function text_of(path)
  local text = helpers.read_file(path)
  assert(text ~= "", path .. " is missing")
  return text
end

local pages = list_files("README.md CONTRIBUTING.md CHANGELOG.md docs/*.md")

-- Each ```lua block of a page: the code, its first line, and the ```text block that follows it or nil.
local function blocks(text)
  local found, at = {}, 1
  while true do
    local first, last, code = text:find("\n```lua\n(.-)\n```\n", at)
    if not first then return found end
    local _, line = text:sub(1, first):gsub("\n", "")
    found[#found + 1] = { code = code, line = line + 2, output = text:match("^%s*```text\n(.-)```", last + 1) }
    at = last
  end
end

-- What a program prints, on stdout and stderr; it calls itself demo.lua.
local function output_of(code)
  local path, runner = os.tmpname(), os.tmpname()
  local _ <close> = helpers.defer(function()
    os.remove(path)
    os.remove(runner)
  end)
  helpers.write_file(path, code)
  helpers.write_file(runner, [[
io.stdout:setvbuf("no")
local file <close> = assert(io.open((...)))
assert(load(file:read("a"), "@demo.lua"))()]])
  local program <close> = assert(io.popen(("'%s' %s %s 2>&1"):format(os.getenv("LUA") or "lua5.4", runner, path)))
  return program:read("a")
end

describe("a Lua block", function()
  for _, page in ipairs(pages) do
    for _, block in ipairs(blocks(text_of(page))) do
      local name = ("in %s:%d"):format(page, block.line)
      it(name .. " compiles", function()
        local ok, message = load(block.code, "=" .. name)
        assert.is_truthy(ok, message)
      end)
      if block.output then
        it(name .. " prints what follows it", function() assert.equal(block.output, output_of(block.code)) end)
      end
    end
  end

  it("is a whole program on most pages", function()
    for _, page in ipairs(list_files("README.md docs/*.md")) do
      if not page:find("tutorial") and page ~= "docs/README.md" and page ~= "docs/CONCURRENCY.md" then
        local programs = 0
        for _, block in ipairs(blocks(text_of(page))) do programs = programs + (block.output and 1 or 0) end
        assert.is_true(programs > 0, page .. " has no program with its output")
      end
    end
  end)
end)

-- The anchors of a page, as GitHub makes them of its headings.
local function anchors_of(text)
  local anchors = {}
  for heading in ("\n" .. text):gmatch("\n#+ ([^\n]+)") do
    anchors[heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")] = true
  end
  return anchors
end

describe("a link", function()
  for _, page in ipairs(pages) do
    it("in " .. page .. " leads somewhere", function()
      local folder = page:match("^(.*/)") or ""
      for target in text_of(page):gmatch("%]%(([^)]+)%)") do
        local path, anchor = target:match("^([^#]*)#?(.*)$")
        if not path:find("^%a+:") then
          local file = path == "" and page or folder .. path
          local opened <close> = io.open(file)
          assert.is_truthy(opened, ("%s links to %s"):format(page, target))
          local known = anchor == "" or anchors_of(text_of(file))[anchor]
          assert.is_true(known, ("%s links to %s"):format(page, target))
        end
      end
    end)
  end
end)

describe("CONTRIBUTING.md", function()
  local map = text_of("CONTRIBUTING.md"):match("```\n(.-)```")

  local function names(word)
    return map:find("%f[%w_]" .. word:gsub("%p", "%%%0") .. "%f[^%w_]") ~= nil
  end

  it("has every source, script and folder in its map", function()
    for _, path in ipairs(list_files("-d csrc/*.c csrc/*/*.c lua/luawait/* scripts/* */")) do
      local name = path:match("([^/]+)/?$")
      if name:find("%.c$") and path:find("/.*/") then name = name:sub(1, -3) end
      if not name:find("^build") then assert.is_true(names(name), path .. " is not in the map") end
    end
  end)

  it("has nothing in its map of the sources that is not there", function()
    local folder
    for indent, name in ("\n" .. map:match("^(.-)types/")):gmatch("\n( *)([%w_./]+)") do
      if #indent == 0 then folder = name end
      if #indent == 2 then
        local found <close> = io.open(folder .. name)
        assert.is_truthy(found, folder .. name .. " is in the map, but not there")
      end
    end
  end)
end)

-- `core/loop: takes its turn` on a page is a test of spec/core/loop_spec.lua whose title contains these words.
describe("a page that names tests", function()
  for _, page in ipairs(list_files("docs/*.md")) do
    local text = text_of(page)
    if text:find("`%w+/[%w_]+: ") or text:find("`spec/") then
      it("names those that exist: " .. page, function()
        for spec, title in text:gmatch("`(%w+/[%w_]+): ([^`]+)`") do
          local path = ("spec/%s_spec.lua"):format(spec)
          assert.is_truthy(text_of(path):find(title, 1, true), ("%s has no test '%s'"):format(path, title))
        end
        for path in text:gmatch("`(spec/[%w_/]+%.lua)`") do text_of(path) end
      end)
    end
  end

  it("is the one on semantics, at least", function()
    local _, count = text_of("docs/CONCURRENCY.md"):gsub("`%w+/[%w_]+: [^`]+`", "")
    assert.is_true(count > 50)
  end)
end)

-- The fields of a table, the methods of an object: sorted names, without what begins with an underscore.
local function names_in(object)
  local names = {}
  for name in pairs(object) do
    if type(name) == "string" and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function methods_of(object)
  return names_in(debug.getmetatable(object).__index)
end

-- The names that a definition file declares for a class: its ---@field lines and its functions, sorted.
local function defined(text, class, variable)
  local names = {}
  local header = text:match("%-%-%-@class " .. class:gsub("%.", "%%.") .. "(%f[:%s].-)\nlocal " .. variable .. " = ")
  assert(header, class .. " is not defined")
  for name in header:gmatch("%-%-%-@field ([%w_]+)") do names[name] = true end
  for name in text:gmatch("\nfunction " .. variable .. "[.:]([%w_]+)") do names[name] = true end
  return names_in(names)
end

describe("types/luawait.lua", function()
  local text = text_of("types/luawait.lua")

  it("defines the names of the module, and no others", function()
    assert.same(names_in(async), defined(text, "luawait", "async"))
    assert.same(names_in(async.errors), defined(text, "luawait.errors", "errors"))
  end)

  it("defines the methods of every class, and no others", function()
    async.run(function()
      local group <close> = async.TaskGroup()
      for class, object in pairs({
        Future = async.Future(), Handle = async.call_soon(print), Timeout = async.timeout(nil), TaskGroup = group,
        Event = async.Event(), Semaphore = async.Semaphore(), Lock = async.Lock(), Runner = async.Runner(),
      }) do
        if class == "Handle" then object:cancel() end
        assert.same(methods_of(object), defined(text, "luawait." .. class, class), class)
      end
      local of_both = defined(text, "luawait.Task", "Task")
      for _, name in ipairs(defined(text, "luawait.Future", "Future")) do
        if not name:find("^set_") and name ~= "cancel" then of_both[#of_both + 1] = name end
      end
      table.sort(of_both)
      assert.same(methods_of(async.current_task()), of_both)
    end)
  end)
end)

describe("types/std.lua", function()
  local text = text_of("types/std.lua")

  it("defines the names of the module, and no others", function()
    assert.same(names_in(std), defined(text, "luawait.std", "std"))
    assert.same(names_in(std.coroutine), defined(text, "luawait.std.coroutine", "std_coroutine"))
  end)
end)

describe("types/net.lua", function()
  local text = text_of("types/net.lua")

  it("defines the names of the module and the methods of its classes, and no others", function()
    assert.same(names_in(net), defined(text, "luawait.net", "net"))
    async.run(function()
      local server <close> = net.serve("127.0.0.1", 0, function() end)
      local _, port = server:address()
      local stream <close> = net.connect("127.0.0.1", port)
      assert.same(methods_of(stream), defined(text, "luawait.net.Stream", "Stream"))
      assert.same(methods_of(server), defined(text, "luawait.net.Server", "Server"))
    end)
  end)
end)

describe("types/process.lua", function()
  local text = text_of("types/process.lua")

  it("defines the names of the module and the members of its classes, and no others", function()
    assert.same(names_in(process), defined(text, "luawait.process", "process"))
    async.run(function()
      local child <close> = process.spawn({ "true" })
      local members = methods_of(child)
      for _, name in ipairs({ "argv", "pid", "stderr", "stdin", "stdout" }) do
        assert.is_truthy(child[name])
        members[#members + 1] = name
      end
      table.sort(members)
      assert.same(members, defined(text, "luawait.process.Process", "Process"))
    end)
  end)
end)

describe("types/tty.lua", function()
  it("defines the names of the module, and no others", function()
    assert.same(names_in(tty), defined(text_of("types/tty.lua"), "luawait.tty", "tty"))
  end)
end)

describe("types/signal.lua", function()
  local text = text_of("types/signal.lua")

  it("defines the names of the module and the methods of its classes, and no others", function()
    assert.same(names_in(signal), defined(text, "luawait.signal", "signal"))
    async.run(function()
      local listener <close> = signal.listen("SIGWINCH")
      local handler = signal.handle("SIGWINCH", print)
      assert.same(methods_of(listener), defined(text, "luawait.signal.Listener", "Listener"))
      assert.same(methods_of(handler), defined(text, "luawait.signal.Handler", "Handler"))
    end)
  end)
end)

describe("a definition file", function()
  for _, path in ipairs(list_files("types/*.lua")) do
    it(path .. " is a meta file that says something about every function", function()
      local text = text_of(path)
      assert.is_truthy(text:find("^%-%-%-@meta luawait"))
      assert.is_truthy(load(text, "@" .. path))
      for before, name in text:gmatch("([^\n]*)\nfunction ([%w_.:]+)") do
        assert.is_truthy(before:find("^%-%-%-"), ("%s: %s has no comment"):format(path, name))
      end
    end)
  end
end)

describe("docs/", function()
  local all = {}
  for _, page in ipairs(list_files("docs/*.md")) do
    if not page:find("tutorial") then all[#all + 1] = text_of(page) end
  end
  local text = table.concat(all, "\n")

  local definitions = text_of("types/luawait.lua")

  local function mentions(name)
    return text:find("%f[%w_]" .. name .. "%f[^%w_]") ~= nil
  end

  it("mentions every public name", function()
    local modules = {
      luawait = async, ["luawait.std"] = std, ["luawait.net"] = net, ["luawait.signal"] = signal,
      ["luawait.process"] = process, ["luawait.tty"] = tty,
    }
    for module, object in pairs(modules) do
      for _, name in ipairs(names_in(object)) do
        assert.is_true(mentions(name), ("docs/ does not mention %s of %s"):format(name, module))
      end
    end
  end)

  it("mentions every method", function()
    for class, name in definitions:gmatch("\nfunction (%u%w+):([%w_]+)") do
      assert.is_true(mentions(name), ("docs/ does not mention %s:%s"):format(class, name))
    end
  end)

  it("mentions every option", function()
    for fields in definitions:gmatch("%-%-%-@class luawait[%w.]+Options\n(.-)\n\n") do
      for name in fields:gmatch("%-%-%-@field ([%w_]+)") do
        assert.is_true(mentions(name), ("docs/ does not mention the option %s"):format(name))
      end
    end
  end)
end)
