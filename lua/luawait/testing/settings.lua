--- The options of a test: checked, with the defaults filled in.
local check = require "luawait.check"
local faults = require "luawait.testing.faults"

local settings = {}

local function is_count(value) return math.type(value) == "integer" and value >= 1 end

local function is_seconds(value) return type(value) == "number" and value >= 0 end

local function is_boolean(value) return type(value) == "boolean" end

local function has_only(allowed, test)
  return function(value)
    if type(value) ~= "table" then return false end
    for key, inner in pairs(value) do
      if not allowed[key] or not test(inner) then return false end
    end
    return true
  end
end

local KINDS = {tasks = true, handles = true, descriptors = true, futures = true}
local FAULTS = {allocation = true, uv = true}
local is_kinds = has_only(KINDS, is_boolean)
local SECONDS = "number of seconds, not below 0,"

-- Each option: whether a value is right, and what is expected.
local OPTIONS = {
  clock = {function(value) return value == "virtual" or value == "real" end, '"virtual" or "real"'},
  autojump = {is_boolean, "boolean"},
  patience = {is_seconds, SECONDS},
  seed = {function(value) return math.type(value) == "integer" end, "integer"},
  explore = {is_count, "integer from 1"},
  timeout = {is_seconds, SECONDS},
  leaks = {function(value) return is_boolean(value) or is_kinds(value) end,
    "boolean, or table of booleans by tasks, handles, descriptors, futures,"},
  fail = {has_only(FAULTS, is_count), "table {allocation = n} or {uv = n}"},
  check = {function(value) return type(value) == "function" end, "function"},
  debug = {is_boolean, "boolean"},
  slow_callback = {is_seconds, SECONDS},
  watchdog = {is_seconds, SECONDS},
  signals = {is_boolean, "boolean"},
  shutdown_timeout = {is_seconds, SECONDS},
}

-- Those that are async.run's, too.
local RUN_OPTIONS = {debug = true, slow_callback = true, watchdog = true, signals = true, shutdown_timeout = true}

-- What a function has no use for.
local USELESS = {
  run = {check = true}, it = {check = true}, cancel_at_every_wait = {explore = true},
  fail_at_every_call = {explore = true, fail = true},
}

local function complain(position, name, complaint)
  check.fail(position, name, complaint, 5)
end

local function check_each(opts, position, name)
  if type(opts) ~= "table" then complain(position, name, "table expected, got " .. type(opts)) end
  for key, value in pairs(opts) do
    local option = OPTIONS[key]
    if not option then
      complain(position, name, check.unknown_option(key))
    elseif not option[1](value) then
      complain(position, name, ("option '%s': %s expected"):format(key, option[2]))
    elseif USELESS[name][key] then
      complain(position, name, ("option '%s' is not for this function"):format(key))
    end
  end
end

local function kinds_of(leaks)
  local kinds = {}
  for kind in pairs(KINDS) do
    if type(leaks) == "table" then kinds[kind] = leaks[kind] ~= false else kinds[kind] = leaks ~= false end
  end
  return kinds
end

-- The seeds of the runs; the environment can name the one to look at.
local function seeds_of(opts)
  if not opts.seed and not opts.explore then return nil end
  local wanted = math.tointeger(tonumber(os.getenv("LUAWAIT_SEED")))
  if wanted then return wanted, wanted end
  local first = opts.seed or 1
  return first, first + (opts.explore or 1) - 1
end

local function complain_of_uv(position, name)
  complain(position, name, "this build cannot let calls of libuv fail: it takes that of the target `faults`")
end

--- An argument error if this build cannot make such calls ("allocation", "uv") fail.
function settings.check_fault(kind, position, name)
  if kind == "uv" and not faults.can_fail_calls then complain_of_uv(position, name) end
end

--- The table of settings for the options at this position of the caller's arguments; an argument error if they are not
-- right.
function settings.check(opts, position, name)
  opts = opts == nil and {} or opts
  check_each(opts, position, name)
  if opts.fail and opts.fail.uv and not faults.can_fail_calls then complain_of_uv(position, name) end
  local first, last = seeds_of(opts)
  local run = {}
  for key in pairs(RUN_OPTIONS) do run[key] = opts[key] end
  return {
    virtual = opts.clock ~= "real", autojump = opts.autojump ~= false, patience = opts.patience, timeout = opts.timeout,
    first_seed = first, last_seed = last, seed = first, leaks = kinds_of(opts.leaks), fail = opts.fail,
    check = opts.check, run = run,
  }
end

return settings
