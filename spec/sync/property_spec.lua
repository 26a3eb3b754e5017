--- Random programs over all the primitives, each judged by a model of what it uses: spec/support/property*.lua.
--
-- LUAWAIT_PROGRAMS: how many (the seeds from 1); LUAWAIT_SEED: this one alone. A failure shows a smaller program that
-- fails, with what happened in it.
local property = require "spec.support.property"
local helpers = require "spec.support.helpers"

local programs = tonumber(os.getenv("LUAWAIT_PROGRAMS")) or helpers.scale(3000)
local seed = tonumber(os.getenv("LUAWAIT_SEED"))
local first, last = seed or 1, seed or programs

describe("random programs", function()
  it("keep every promise of the primitives", function()
    assert.equal(last - first + 1, property.run_all(first, last))
  end)

  it("keep it whichever task is cancelled at whichever step", function()
    local swept = property.sweep_all(first, seed or math.max(programs // 250, 1))
    assert.is_true(swept >= 10, ("%d programs"):format(swept))
  end)
end)
