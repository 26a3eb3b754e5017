-- The pages say what is so: programs give the output that follows them, links and the tests that a page names exist,
-- and every public name has its definition in types/ and its place in docs/.
local async = require "luawait"
local helpers = require "spec.support.helpers"
local public = require "spec.support.public"

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

  -- A program begins with its requires; what does not is a piece, to be read in its place. The tutorial's are those of
  -- examples/, which have a spec. One waits for Ctrl-C, as core/run_spec does; what describes is a spec, for busted.
  it("that is a program is run, by this spec or another", function()
    local programs = 0
    for _, page in ipairs(list_files("README.md docs/*.md")) do
      for _, block in ipairs(blocks(text_of(page))) do
        local example = text_of("examples/sleeps_overlap.lua"):find(block.code, 1, true)
        if block.code:find('^local async = require "luawait"') and not example then
          programs = programs + 1
          local elsewhere = block.code:find("KeyboardInterrupt", 1, true) or block.code:find("\ndescribe(", 1, true)
          local run = block.output or elsewhere
          assert.is_truthy(run, ("the program in %s:%d has no output"):format(page, block.line))
        end
      end
    end
    assert.is_true(programs > 20)
  end)

  for _, page in ipairs(list_files("README.md docs/*.md")) do
    if not page:find("tutorial") and page ~= "docs/README.md" and page ~= "docs/CONCURRENCY.md" then
      it("on " .. page .. " is a program, at least once", function()
        local programs = 0
        for _, block in ipairs(blocks(text_of(page))) do programs = programs + (block.output and 1 or 0) end
        assert.is_true(programs > 0)
      end)
    end
  end
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

-- The titles of the tests and groups of a spec, one a line. A title may be put together from pieces.
local function titles_in(path)
  local titles = {}
  for line in text_of(path):gmatch("[^\n]+") do
    if line:find("^%s*it%(") or line:find("^%s*describe%(") then titles[#titles + 1] = line end
  end
  return table.concat(titles, "\n"):gsub("\\(.)", "%1")
end

-- `core/loop: takes its turn` on a page is a test of spec/core/loop_spec.lua whose title contains these words.
local TEST = "`(%w+/[%w_]+):%s+([^`]+)`"

describe("a page that names tests", function()
  for _, page in ipairs(list_files("docs/*.md")) do
    local text = text_of(page)
    if text:find(TEST) then
      it("names those that exist: " .. page, function()
        for spec, title in text:gmatch(TEST) do
          local path, words = ("spec/%s_spec.lua"):format(spec), title:gsub("%s+", " ")
          assert.is_truthy(titles_in(path):find(words, 1, true), ("%s has no test '%s'"):format(path, words))
        end
      end)
    end
  end
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

-- ---- definition files ----

-- What a definition file declares: its functions, each with its parameters and the comment above it, and its classes,
-- each with its parent, its fields, and the functions of its variable.
local function parse(text)
  local functions, classes, of_variable = {}, {}, {}
  local comment, class = {}, nil
  local take = {
    ["^%-%-%-@class ([%w_.]+)%s*:?%s*([%w_.]*)"] = function(name, parent)
      class = { parent = parent, fields = {}, functions = {} }
      classes[name] = class
    end,
    ["^%-%-%-@field ([%w_]+)"] = function(name) class.fields[name] = true end,
    ["^local ([%w_]+) ="] = function(variable) of_variable[variable] = class end,
    ["^function ([%w_]+)[.:]([%w_]+)(%b())"] = function(variable, name, parameters)
      assert(of_variable[variable], variable .. " is not declared").functions[name] = true
      functions[#functions + 1] = { name = variable .. "." .. name, parameters = parameters,
        comment = "\n" .. table.concat(comment, "\n") .. "\n" }
    end,
  }
  for line in text:gmatch("[^\n]*") do
    for pattern, fn in pairs(take) do
      if line:find(pattern) then fn(line:match(pattern)) end
    end
    if line:find("^%-%-%-") then comment[#comment + 1] = line else comment, class = {}, nil end
  end
  return { functions = functions, classes = classes }
end

local definitions, classes = {}, {}
for _, module in ipairs(public.modules) do
  definitions[module] = parse(text_of(module.types))
  for name, class in pairs(definitions[module].classes) do classes[name] = class end
end

-- Of a class whose objects have methods; the others are tables of a module, or of options.
local function has_methods(name, class)
  return name:match("[^.]+$"):find("^%u") and next(class.functions) ~= nil
end

-- The fields and functions of a class, and those that it inherits.
local function defined(name)
  local names, class = {}, assert(classes[name], name .. " is not defined")
  for field in pairs(class.fields) do names[field] = true end
  for fn in pairs(class.functions) do names[fn] = true end
  if classes[class.parent] then
    for _, inherited in ipairs(defined(class.parent)) do
      names[inherited] = not (public.not_inherited[name] or {})[inherited] or nil
    end
  end
  return names_in(names)
end

for _, module in ipairs(public.modules) do
  describe(module.types, function()
    local text, object = text_of(module.types), require(module.name)

    it("is a meta file", function()
      assert.is_truthy(text:find("^%-%-%-@meta " .. module.name:gsub("%.", "%%.") .. "\n"))
      assert.is_truthy(text:find("\nlocal " .. module.variable .. " =", 1, true))
      assert.is_truthy(load(text, "@" .. module.types))
    end)

    it("defines the names of the module, and no others", function()
      assert.same(names_in(object), defined(module.name))
      for name, value in pairs(object) do
        local inner = module.name .. "." .. name
        if name:find("^%l") and classes[inner] then assert.same(names_in(value), defined(inner), inner) end
      end
    end)

    it("defines the methods of every class, and no others", function()
      local checked = {}
      local function check(class, instance, fields)
        checked[class] = true
        local names = { table.unpack(fields or {}) }
        for _, name in ipairs(names) do assert.is_truthy(instance[name], name) end
        table.move(names_in(debug.getmetatable(instance).__index), 1, 1000, #names + 1, names)
        table.sort(names)
        assert.same(names, defined(class), class)
      end
      if module.objects then async.run(function() module.objects(check) end) end
      for name, class in pairs(definitions[module].classes) do
        if has_methods(name, class) then
          assert.is_true(checked[name], name .. ": give an object of it in spec/support/public.lua")
        end
      end
    end)

    it("says what every function does, and the type of every parameter", function()
      for _, fn in ipairs(definitions[module].functions) do
        local where = module.types .. ": " .. fn.name
        assert.is_truthy(fn.comment:find("\n%-%-%-[^@%s|]"), where .. " has no comment")
        for parameter in fn.parameters:gmatch("[%w_.]+") do
          local typed = fn.comment:find("\n%-%-%-@param " .. parameter:gsub("%.", "%%.") .. "%?? %S+")
          assert.is_truthy(typed, ("%s: no type for %s"):format(where, parameter))
        end
      end
    end)
  end)
end

describe("the public modules", function()
  local rows = {}
  for _, module in ipairs(public.modules) do rows[module.name] = module end

  it("are those whose first line names them", function()
    local named = {}
    for _, path in ipairs(list_files("lua/luawait/*.lua")) do
      local name = text_of(path):match("^%-%-%- (luawait[%w_.]*):")
      if name then
        named[#named + 1] = name
        assert.is_truthy(rows[name], name .. " has no row in spec/support/public.lua")
      end
    end
    assert.equal(#public.modules, #named)
  end)

  it("are those that have a definition file", function()
    assert.equal(#public.modules, #list_files("types/*.lua"))
  end)

  it("have a page that the list of pages knows", function()
    local list = text_of("docs/README.md")
    for _, module in ipairs(public.modules) do
      local page = module.pages:match("^docs/([%w_]+%.md)$")
      if page then assert.is_truthy(list:find("(" .. page .. ")", 1, true), page .. " is not in docs/README.md") end
    end
  end)
end)

-- ---- pages ----

-- What stands in backquotes or in a block of code: the words of the pages that match a pattern, but for the tutorial.
local function code_words(pattern)
  local words = {}
  for _, page in ipairs(list_files(pattern)) do
    if not page:find("tutorial") then
      local text = text_of(page):gsub("\n```(.-)\n```", function(block)
        for word in block:gmatch("[%w_]+") do words[word] = true end
        return ""
      end)
      for span in text:gmatch("`([^`]+)`") do
        for word in span:gmatch("[%w_]+") do words[word] = true end
      end
    end
  end
  return words
end

for _, module in ipairs(public.modules) do
  describe(module.pages .. " of " .. module.name, function()
    local words = code_words(module.pages)

    local function add_missing(missing, names, class)
      for name in pairs(names) do
        if not words[name] then missing[#missing + 1] = class .. ": " .. name end
      end
    end

    it("has every public name, every method and every option", function()
      local missing = {}
      for name, class in pairs(definitions[module].classes) do
        add_missing(missing, class.functions, name)
        if name == module.name or name:find("Options$") then add_missing(missing, class.fields, name) end
      end
      assert.same({}, missing)
    end)
  end)
end

-- ---- docs/CONCURRENCY.md ----

describe("docs/CONCURRENCY.md", function()
  local text = text_of("docs/CONCURRENCY.md")
  local prose, tables = text:match("^(.-\n)## Every function that waits\n(.*)$")

  -- Paragraphs and items of lists. A heading, a row of a table and what a colon leads from are none of their own.
  local function statements()
    local found = {}
    local flat = prose:gsub("\n#[^\n]*", "\n"):gsub("\n|[^\n]*", ""):gsub("\n%- ", "\n\n")
    for statement in (flat .. "\n\n"):gmatch("(.-)\n\n+") do
      if statement:find("%S") then found[#found + 1] = statement end
    end
    return found
  end

  it("names a test for every statement", function()
    local found = statements()
    assert.is_true(#found > 40)
    local missing = {}
    for i = 2, #found do -- the first says what the page is
      if not found[i]:find(TEST) then missing[#missing + 1] = found[i] end
    end
    assert.same({}, missing)
  end)

  -- The rows of the tables: what the first column names, and all of the row.
  local rows, named = {}, {}
  for row in tables:gmatch("|[^\n]+|") do
    local first = row:match("^| ([^|]+) |")
    if first ~= "function" and first ~= "---" then
      rows[#rows + 1] = row
      for name in first:gmatch("`([%w_.:]+)`") do named[name] = true end
    end
  end

  it("names a test for every row of its tables", function()
    assert.is_true(#rows > 40)
    for _, row in ipairs(rows) do assert.is_truthy(row:find(TEST .. "[^|]*|$"), "no test is named for: " .. row) end
  end)

  -- As the tables write it: Queue:get, std.coroutine.wrap.
  local function table_name(fn)
    return (fn.name:gsub("^std_coroutine%.", "std.coroutine."):gsub("^(%u%w*)%.", "%1:"))
  end

  for _, module in ipairs(public.modules) do
    it("has every function of " .. module.name .. " that waits in its tables", function()
      local missing = {}
      for _, fn in ipairs(definitions[module].functions) do
        local waits = fn.comment:find("%f[%a]Waits%f[%A]") or fn.comment:find("may wait%f[%A]")
        if waits and not named[table_name(fn)] then missing[#missing + 1] = table_name(fn) end
      end
      assert.same({}, missing)
    end)
  end

  it("has nothing in its tables that is no function", function()
    local functions = {}
    for _, module in ipairs(public.modules) do
      for _, fn in ipairs(definitions[module].functions) do functions[table_name(fn)] = true end
    end
    for name in pairs(named) do assert.is_true(functions[name], name .. " is in no file of types/") end
  end)
end)
