-- The random programs of scripts/stress.sh know every public function; a few of them run here.
local helpers = require "spec.support.helpers"
local public = require "spec.support.public"
local actions = require "spec.stress.actions"

-- What no task of such a program does: print, put other functions in the place of everybody's, and use what waits for
-- nothing and holds nothing.
local left_out = {
  print = true, print_stack = true, install = true, uninstall = true, class = true, is = true,
}

describe("random programs", function()
  local text = helpers.read_file("spec/stress/actions.lua") .. helpers.read_file("spec/stress/stress.lua")
    .. helpers.read_file("spec/stress/files.lua") .. helpers.read_file("spec/stress/processes.lua")

  local function used(name)
    return left_out[name] or text:find("[.:]" .. name .. "%f[^%w_]") or text:find("[{,]%s+" .. name .. " = ")
  end

  for _, module in ipairs(public.modules) do
    local known = false
    for _, name in ipairs(actions.modules) do known = known or name == module.name end
    if known then
      it("use every function of " .. module.name, function()
        local missing = {}
        for name in helpers.read_file(module.types):gmatch("\nfunction ([%w_]+[.:][%w_]+)") do
          if not used(name:match("[%w_]+$")) then missing[#missing + 1] = name end
        end
        assert.same({}, missing)
      end)
    end
  end

  it("find nothing", function()
    local output = helpers.child_output('print(require("spec.stress.stress")())', {
      env = { STRESS_SEED = "1", STRESS_COUNT = tostring(helpers.scale(100)) },
    })
    assert.equal(helpers.scale(100), tonumber(output))
  end)
end)
