-- Every program in examples/ runs, and prints what it should.
local support = require "spec.examples.support"

local pages = ""
for i = 1, 8 do pages = pages .. "the page /" .. i .. "\n" end

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
  ["log_follower.lua"] = [[
request 1
request 2
request 3
half a line, and the other half
a new log
the end
]],
  ["gather_failures.lua"] = [[
false	ValueError: b went wrong
1	ok	a is fine
2	failed	ValueError: b went wrong
3	ok	c is fine
4	failed	a string
name is fine	age is fine
]],
  ["testing_virtual_time.lua"] = [[
done after 4101.5 s of virtual time
careless cache:	computed 3 times
careful cache:	fine
cancelled at each of 5 waits, and nothing was left behind
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
  ["rate_limit_semaphore.lua"] = pages .. "8 requests, at most 3 in flight\n",
  ["rate_limit_workers.lua"] = pages .. "8 requests, at most 3 in flight\n",
  ["producers_consumers.lua"] = [[
ann baked 6	bob baked 4
10 eaten, at most 2 on the shelf
]],
  ["init_gate.lua"] = [[
ann asks
bob asks
connected
ann has rows of ann
bob has rows of bob
eve asks
eve has rows of eve
]],
  ["batch_processor.lua"] = [[
sent: parcel 1, parcel 2, parcel 3, parcel 4
sent: letter 1, letter 2
sent: parcel 5, parcel 6, parcel 7, parcel 8
sent: parcel 9
]],
  ["chat_room.lua"] = [[
to ann	welcome, ann
to bob	welcome, bob
to ann	bob joins
to bob	ann: hello, bob
to ann	bob: I cannot stay
to ann	bob leaves
]],
  ["tcp_proxy.lua"] = [[
HELLO
THROUGH THE PROXY
goodbye
]],
  ["udp_ping.lua"] = [[
1	came back
2	came back
3	TimeoutError
4	came back
5	came back
6	TimeoutError
6 sent, 4 received, 33 % lost
]],
  ["port_scanner.lua"] = [[
3 of 20 ports are open; at most 5 were tried at once
true
]],
  ["sensors.lua"] = [[
temperature: 9 readings, mean 21.6
humidity: 3 readings, mean 42.0
pressure: 2 readings, mean 1013.0
]],
  ["dining_philosophers.lua"] = function(text)
    local problem, rest = text:match("^(DeadlockError: .-\n)(%d+ meals\n)$")
    assert.equal("15 meals\n", rest, text)
    local waits = { "Task-1 for gather" }
    for i = 1, 5 do waits[i + 1] = ("philosopher %d for lock held by philosopher %d"):format(i, i % 5 + 1) end
    local told = {}
    for line in problem:gmatch("\n  ([^\n]+)") do
      local task, what, holder = line:gsub("<Task pending name='([^']+)'[^>]*>", "%1")
        :match("^(.-) waits for: (%l+)(.-) %([^(]+%)$")
      told[#told + 1] = task and task .. " for " .. what .. holder
    end
    assert.same(waits, told, text)
  end,
  ["retry_backoff.lua"] = [[
attempt 1: Unavailable: call 1, again in 10 ms
attempt 2: Unavailable: call 2, again in 20 ms
attempt 3: Unavailable: call 3, again in 40 ms
welcome, ann
attempt 1: Unavailable: call 1, again in 10 ms
false	Unavailable: call 2
false	ValueError: no user given
]],
  ["make.lua"] = function(text)
    local report, place = text:match("\n(Birds\n.*)$"), {}
    assert.equal("Birds\n4\nheron\nosprey\nteal\nwren\n", report, text)
    for n, name in text:gmatch("%[(%d)/6%] (%S+)\n") do place[name] = tonumber(n) end
    for name, needed in pairs({ report = "title", count = "all.txt", ["all.txt"] = "east.txt" }) do
      assert.is_true(place[name] > place[needed], text)
    end
    assert.is_true(place["all.txt"] > place["west.txt"] and place.report == 6, text)
  end,
  ["hash_tree.lua"] = function(text)
    local pipe <close> = io.popen("cd examples/lib && sha256sum -- *.lua")
    assert.equal((pipe:read("a"):gsub("  ", "\t")), text)
  end,
  ["prompt.lua"] = "Your name? Hello, silent one.\n",
  ["first_wins.lua"] = [[
close broken
close near
close far
the answer of near
close broken
close broken
false	ExceptionGroup: all have failed
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

  it("make.lua ends with the first command that fails", function()
    local run = support.example("make.lua", { "--broken" })
    assert.equal("", run.stderr)
    assert.matches("/bin/sh ended with status 1: count: out of fingers\n$", run.stdout)
    assert.is_nil(run.stdout:find("report", 1, true))
  end)

  it("hash_tree.lua takes names as they are", function()
    local folder = support.temporary()
    support.make_directory(folder .. "/deep")
    support.write(folder .. "/two\nlines", "x")
    support.write(folder .. "/deep/-n", "")
    local run = support.example("hash_tree.lua", { folder })
    support.remove(folder)
    assert.equal("", run.stderr)
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\tdeep/-n\n"
      .. "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\ttwo\nlines\n", run.stdout)
  end)

  it("prompt.lua takes an answer", function()
    local run = support.example("prompt.lua", { "30" }, { stdin = "ann\nmore\n" })
    assert.equal("Your name? Hello, ann.\n", run.stdout)
  end)

  it("prompt.lua does not wait for ever", function()
    local folder = support.temporary()
    local pipe, lua = folder .. "/pipe", os.getenv("LUA") or "lua5.4"
    local line = "mkfifo '%s' && exec 3<>'%s' && exec '%s' examples/prompt.lua 0.1 <&3"
    local run = support.run({ "sh", "-c", line:format(pipe, pipe, lua) })
    support.remove(folder)
    assert.equal("Your name? \nNobody there. I take you for a guest.\nHello, guest.\n", run.stdout)
  end)

  it("has no program that no spec runs", function()
    local elsewhere = { ["fetch_all.lua"] = true, ["http_server.lua"] = true, ["chat_server.lua"] = true }
    for _, name in ipairs(support.list("examples")) do
      if name:find("%.lua$") then assert.is_truthy(outputs[name] or elsewhere[name], name .. " is not run") end
    end
  end)

  it("has no program that the tutorial does not name", function()
    local tutorial = support.read("docs/tutorial.md")
    for _, name in ipairs(support.list("examples")) do
      if name:find("%.lua$") then
        assert.is_truthy(tutorial:find("(../examples/" .. name .. ")", 1, true), name .. " is not in the tutorial")
      end
    end
  end)
end)
