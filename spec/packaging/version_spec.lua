-- The version stands in one place (scripts/version.sh reads it there); all others that name it agree.
local async = require "luawait"
local helpers = require "spec.support.helpers"

describe("the version", function()
  local pipe <close> = assert(io.popen("scripts/version.sh"))
  local version = pipe:read("l")

  it("has three numbers", function() assert.matches("^%d+%.%d+%.%d+$", version) end)

  it("is that of the module", function() assert.equal(version, async._VERSION) end)

  it("is the newest in CHANGELOG.md", function()
    assert.equal(version, helpers.read_file("CHANGELOG.md"):match("\n## (%S+)"))
  end)

  it("is what the pages show", function()
    local count = 0
    for _, page in ipairs { "README.md", "docs/command.md" } do
      for shown in helpers.read_file(page):gmatch("luawait (%d+%.%d+%.%d+)") do
        assert.equal(version, shown)
        count = count + 1
      end
    end
    assert.is_true(count > 0)
  end)
end)
