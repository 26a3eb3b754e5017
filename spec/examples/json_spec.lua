package.path = "examples/?.lua;" .. package.path

local dkjson = require "dkjson"
local json = require "lib.json"

describe("examples/lib/json", function()
  it("writes each kind of value", function()
    assert.equal("null", json.encode(nil))
    assert.equal("null", json.encode(json.null))
    assert.equal("true", json.encode(true))
    assert.equal("-12", json.encode(-12))
    assert.equal("0.25", json.encode(0.25))
    assert.equal("null", json.encode(0 / 0))
    assert.equal("null", json.encode(math.huge))
    assert.equal("[]", json.encode({}))
    assert.equal('[1,"two",[3]]', json.encode({ 1, "two", { 3 } }))
    assert.equal('{"a":1,"b":null,"c":{"d":[]}}', json.encode({ c = { d = {} }, a = 1, b = json.null }))
  end)

  it("escapes what has to be", function()
    assert.equal([["\"\\\b\f\n\r\t\u0000\u001f\u007f/"]], json.encode('"\\\b\f\n\r\t\0\x1f\x7f/'))
  end)

  it("writes what another reader reads back", function()
    local text = {}
    for byte = 0, 127 do text[#text + 1] = string.char(byte) end
    for _, code in ipairs({ 0x80, 0x7ff, 0x800, 0x2028, 0xffff, 0x10000, 0x10ffff }) do
      text[#text + 1] = utf8.char(code)
    end
    text = table.concat(text)
    assert.equal(text, dkjson.decode(json.encode({ text }))[1])
  end)

  it("replaces bytes that are not UTF-8", function()
    local mark = "\u{FFFD}"
    assert.equal('"a' .. mark .. "b" .. mark .. mark .. '"', json.encode("a\xffb\xc3\xe2"))
    assert.equal('"' .. mark:rep(3) .. '"', json.encode("\xed\xa0\x80"))          -- a lone surrogate
    assert.equal('"\u{e9}' .. mark .. '"', json.encode("\u{e9}\x80"))
  end)
end)
