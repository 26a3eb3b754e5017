-- The functions of luawait.h, each by the cases of the programs spec/support/embed_*.c, which use that header alone.
local embed = require "spec.support.embed"
local helpers = require "spec.support.helpers"

local programs = { "tasks", "futures", "limits", "memory" }
if not os.execute("uname | grep -q Darwin") then programs[#programs + 1] = "faults" end

for _, program in ipairs(programs) do
  describe("the C API, " .. program .. ":", function()
    local name = "embed_" .. program
    local source = helpers.read_file("spec/support/" .. name .. ".c")
    local count = 0
    for case in source:match("Case cases%[%] = (%b{})"):gmatch('{%s*"([%w_]+)"') do
      count = count + 1
      it(case, function()
        local text, code = embed.run(name .. " " .. case)
        assert.are.equal(0, code, text)
      end)
    end

    it("has no other cases", function()
      local listed = select(2, embed.run(name):gsub("\n", "\n"))
      assert.are.equal(listed, count)
      assert.is_true(count > 0)
    end)
  end)
end
