-- Every program in examples/ runs, and prints what it should.
local support = require "spec.examples.support"

-- What each prints; a function gets the output and checks it.
local outputs = {
  ["sleeps_overlap.lua"] = function(text)
    local elapsed = text:match("^B is here\nC is here\nA is here\n"
      .. "A's result\tB's result\tC's result\nwaits: 1.2 s, elapsed: (%d+%.%d) s\n$")
    assert.is_truthy(elapsed, text)
    assert.is_true(tonumber(elapsed) >= 0.6 and tonumber(elapsed) < 1.2, elapsed)
  end,
  ["timeout.lua"] = [[
the answer
false	true
step 1
step 2
false	true
sign of life	1
sign of life	2
sign of life	3
in time
]],
  ["cancel_cleanup.lua"] = [[
open database
open file
false	an error
worker	waiting
close file
close database
false	true
worker	cancelled
]],
  ["tcp_echo.lua"] = [[
ann 1, ann 2, ann 3
bob 1, bob 2, bob 3
eve 1, eve 2, eve 3
]],
  ["gather_failures.lua"] = [[
false	ValueError: b went wrong
1	ok	a is fine
2	failed	ValueError: b went wrong
3	ok	c is fine
4	failed	a string
name is fine	age is fine
]],
  ["progress.lua"] = [[
1 of 3: small
2 of 3: middle
3 of 3: big
]],
  ["graceful_shutdown.lua"] = [[
stopping
1 still at work
worker 1	finished its job
worker 2	finished its job
worker 3	was cancelled
]],
}

describe("examples/", function()
  for name, expected in pairs(outputs) do
    it(name, function()
      local run = support.example(name)
      assert.equal("", run.stderr)
      assert.equal(0, run.status)
      if type(expected) == "function" then expected(run.stdout) else assert.equal(expected, run.stdout) end
    end)
  end

  it("has no program that no spec runs", function()
    local elsewhere = { ["fetch_all.lua"] = true }
    for _, name in ipairs(support.list("examples")) do
      if name:find("%.lua$") then assert.is_truthy(outputs[name] or elsewhere[name], name .. " is not run") end
    end
  end)
end)
