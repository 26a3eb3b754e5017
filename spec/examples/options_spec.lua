package.path = "examples/?.lua;" .. package.path

local options = require "lib.options"

local known = {
  { name = "limit", value = "a number from 1 on", check = options.count(1) },
  { name = "timeout", value = "seconds, more than 0", check = options.seconds },
  { name = "file", value = "a file name", check = options.text },
  { name = "json" },
}

local function parse(...)
  return options.parse({ ... }, known)
end

local function message(...)
  local values, text = parse(...)
  assert.is_nil(values)
  return text
end

describe("examples/lib/options", function()
  it("tells options from other words", function()
    local values, others = parse("a", "--limit", "3", "--json", "b", "--timeout=0.5", "--file", "-", "-")
    assert.same({ limit = 3, json = true, timeout = 0.5, file = "-" }, values)
    assert.same({ "a", "b", "-" }, others)
  end)

  it("takes all after -- as other words", function()
    local values, others = parse("--json", "--", "--limit", "--")
    assert.same({ json = true }, values)
    assert.same({ "--limit", "--" }, others)
  end)

  it("lets the last one win, and nothing be nothing", function()
    assert.same({ limit = 2 }, (parse("--limit", "1", "--limit=2")))
    local values, others = parse()
    assert.same({}, values)
    assert.same({}, others)
  end)

  it("says what is wrong", function()
    assert.equal("unknown option --nope", message("--nope"))
    assert.equal("unknown option --nope=1", message("--nope=1"))
    assert.equal("unknown option -x", message("-x"))
    assert.equal("--json takes no value", message("--json=yes"))
    assert.equal("--limit needs a value: a number from 1 on", message("--limit"))
    for _, value in ipairs({ "0", "-1", "1.5", "many", "", "99999999999999999999", "0x10" }) do
      assert.equal("--limit " .. value .. ": expected a number from 1 on", message("--limit", value))
    end
    for _, value in ipairs({ "0", "-1", "1.2.3", "soon", "", "inf", "nan", "1e999" }) do
      assert.equal("--timeout " .. value .. ": expected seconds, more than 0", message("--timeout", value))
    end
    assert.equal("--file : expected a file name", message("--file="))
  end)
end)
