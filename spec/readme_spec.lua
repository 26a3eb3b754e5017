local function read_file(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

describe("README.md", function()
  it("shows an example whose output is what it says", function()
    local text = read_file("README.md")
    local code, expected = text:match("```lua\n(.-)```%s*```text\n(.-)```")
    assert.is_string(code, "README.md holds a ```lua block followed by a ```text block")

    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local file <close> = assert(io.open(path, "w"))
    file:write(code)
    file:close()

    local program <close> = assert(io.popen(("'%s' %s 2>&1"):format(os.getenv("LUA"), path)))
    assert.equal(expected, program:read("a"))
    assert.is_true(program:close())
  end)

  it("links to what there is", function()
    local checked = 0
    for target in read_file("README.md"):gmatch("%]%(([^)]+)%)") do
      local file <close> = io.open(target)
      assert.is_truthy(file, "README.md links to " .. target .. ", which does not exist")
      checked = checked + 1
    end
    assert.is_true(checked > 0)
  end)
end)
