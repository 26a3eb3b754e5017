-- Every function with a table of options knows those that types/ gives it, and refuses all others before it does
-- anything.
local async = require "luawait"
local fs = require "luawait.fs"
local net = require "luawait.net"
local process = require "luawait.process"
local testing = require "luawait.testing"
local files = require "spec.support.fs"
local helpers = require "spec.support.helpers"
local public = require "spec.support.public"

-- ---- what types/ says ----

-- The functions of a definition file, "VARIABLE.NAME" -> the class of their options, added to `functions`; the classes,
-- each with its parent and the names of its fields, to `classes`.
local function read_types(text, functions, classes)
  local class, options
  for line in text:gmatch("[^\n]+") do
    local name, parent = line:match("^%-%-%-@class ([%w_.]+)%s*:?%s*([%w_.]*)")
    if name then
      class = { parent = parent }
      classes[name] = class
    end
    local field = line:match("^%-%-%-@field ([%w_]+)")
    if field then class[#class + 1] = field end
    options = line:match("^%-%-%-@param opts%?? ([%w_.]+)") or options
    local variable, fn = line:match("^function ([%w_]+)[.:]([%w_]+)")
    if fn then
      functions[variable .. "." .. fn] = options
      options = nil
    end
  end
end

local functions, classes = {}, {}
for _, module in ipairs(public.modules) do read_types(helpers.read_file(module.types), functions, classes) end

local function fields_of(class, fields)
  fields = fields or {}
  for _, field in ipairs(class) do fields[#fields + 1] = field end
  if classes[class.parent] then fields_of(classes[class.parent], fields) end
  return fields
end

-- ---- how each function is called ----

local function never() error("it was started") end

-- In a task, with an empty directory for what must not be made there.
local inside = {
  ["async.create_task"] = function(opts) async.create_task(never, opts) end,
  ["async.gather"] = function(opts) async.gather({ never }, opts) end,
  ["async.wait"] = function(opts) async.wait({ never }, opts) end,
  ["async.as_completed"] = function(opts) async.as_completed({ never }, opts) end,
  ["TaskGroup.create_task"] = function(opts)
    local group <close> = async.TaskGroup()
    group:create_task(never, opts)
  end,
  ["fs.write_file"] = function(opts, dir) fs.write_file(dir .. "/file", "data", opts) end,
  ["fs.open"] = function(opts, dir) fs.open(dir .. "/file", "w", opts) end,
  ["fs.copy"] = function(opts, dir) fs.copy("README.md", dir .. "/file", opts) end,
  ["fs.mkdir"] = function(opts, dir) fs.mkdir(dir .. "/made", opts) end,
  ["fs.walk"] = function(opts, dir) fs.walk(tostring(dir), opts) end,
  ["fs.glob"] = function(opts, dir) fs.glob(dir .. "/*", opts) end,
  ["fs.watch"] = function(opts, dir) fs.watch(tostring(dir), opts) end,
  ["net.connect"] = function(opts) net.connect("127.0.0.1", 1, opts) end,
  ["net.serve"] = function(opts) net.serve("127.0.0.1", 0, never, opts) end,
  ["net.connect_unix"] = function(opts, dir) net.connect_unix(dir .. "/socket", opts) end,
  ["net.serve_unix"] = function(opts, dir) net.serve_unix(dir .. "/socket", never, opts) end,
  ["net.udp"] = function(opts) net.udp(opts) end,
  ["net.resolve"] = function(opts) net.resolve("127.0.0.1", 0, opts) end,
  ["process.run"] = function(opts, dir) process.run({ "touch", dir .. "/file" }, opts) end,
  ["process.shell"] = function(opts, dir) process.shell(("touch '%s/file'"):format(dir), opts) end,
  ["process.spawn"] = function(opts, dir) process.spawn({ "touch", dir .. "/file" }, opts) end,
}

local outside = {
  ["async.run"] = function(opts) async.run(never, opts) end,
  ["async.Runner"] = function(opts) async.Runner(opts) end,
  ["testing.run"] = function(opts) testing.run(never, opts) end,
  ["testing.it"] = function(opts) testing.it("starts nothing", never, opts) end,
  ["testing.cancel_at_every_wait"] = function(opts) testing.cancel_at_every_wait(never, opts) end,
  ["testing.fail_at_every_call"] = function(opts) testing.fail_at_every_call("allocation", never, opts) end,
}

-- The error of the function, called with these options; nothing may be left behind.
local function refusal(name, opts)
  if outside[name] then return helpers.failure_text(outside[name], opts) end
  local dir <close> = files.directory()
  return testing.run(function()
    local text = helpers.failure_text(inside[name], opts, dir)
    assert.same({}, fs.listdir(tostring(dir)))
    return text
  end, { clock = "real" })
end

local function names_of(...)
  local names = {}
  for _, map in ipairs { ... } do
    for name in pairs(map) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

describe("options", function()
  it("are tried here for every function that has them", function()
    assert.same(names_of(functions), names_of(inside, outside))
  end)

  local none_has = { timeot = 1, [1] = "x", [true] = 1, [0.5] = 1, ["time\0ut"] = 1, [""] = false }

  for name, class in pairs(functions) do
    local short = name:match("[^.]+$")

    it("that are unknown are refused by name: " .. name, function()
      for key, value in pairs(none_has) do
        local text = refusal(name, { [key] = value })
        local shown = type(key) == "string" and "'" .. key:match("^%Z*") or "[" .. tostring(key) .. "]"
        assert.is_truthy(text:find("bad argument #%d to '" .. short .. "' %(unknown option "), text)
        assert.is_truthy(text:find("(unknown option " .. shown, 1, true), text)
      end
    end)

    it("that are known are those of types/: " .. name, function()
      -- A value that none takes. `it` hands what are options of async.run on, to the test.
      local wrong, fields = coroutine.create(print), fields_of(classes[class])
      if name == "testing.it" then fields = { table.unpack(classes[class]) } end
      assert.is_true(#fields > 0)
      for _, field in ipairs(fields) do
        local text = refusal(name, { [field] = wrong })
        assert.is_truthy(text:find(("' (option '%s': "):format(field), 1, true), field .. ": " .. text)
      end
    end)
  end

  it("may come from a table that inherits, or be empty", function()
    local opts = setmetatable({}, { __index = { return_exceptions = true } })
    async.run(function()
      assert.matches("it was started", tostring(async.gather({ never }, opts)[1].error))
      assert.equal(1, async.gather({ function() return 1 end }, {})[1])
    end, {})
  end)

  it("that are not a table are refused", function()
    for name in pairs(functions) do
      local text = refusal(name, "timeout")
      assert.is_truthy(text:find("(table expected, got string)", 1, true), name .. ": " .. text)
    end
  end)
end)
