-- The servers among the examples, and the library itself, with real peers: curl and socat.
local async = require "luawait"
local net = require "luawait.net"
local helpers = require "spec.support.helpers"
local support = require "spec.support.net"

local function has(program) return os.execute(("command -v %s >/dev/null 2>&1"):format(program)) end

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("a")
end

local function lua() return os.getenv("LUA") or "lua5.4" end

--- Starts an example, runs fn(port), and ends it with Ctrl-C. It must end well, with nothing on stderr.
local function with_example(name, words, fn)
  local err = os.tmpname()
  local pipe <close> = assert(io.popen(("echo $$; exec timeout --foreground 100 '%s' examples/%s %s 2>%s"):format(
    lua(), name, words, err)))
  local pid = pipe:read("l")
  local _ <close> = helpers.defer(function()
    os.execute("kill -INT " .. pid .. " 2>/dev/null")
    os.remove(err)
  end)
  local line = assert(pipe:read("l"), helpers.read_file(err))
  fn(line:match(":(%d+)$"))
  os.execute("kill -INT " .. pid)
  assert.equal("", pipe:read("a")) -- until it has ended
  assert.equal("", helpers.read_file(err))
end

describe("curl", function()
  it("gets answers from http_server.lua", function()
    if not has("curl") then return pending("needs curl") end
    with_example("http_server.lua", "0", function(port)
      local url = "http://127.0.0.1:" .. port
      local function curl(words) return output_of("curl -sS --max-time 30 " .. words .. " 2>&1") end
      assert.equal("hello, ann\n", curl(url .. "/hello?name=ann"))
      assert.equal("hello, world\nhello, bob\n4 requests\n", -- on one connection
        curl(("'%s/hello' '%s/hello?name=bob' '%s/count'"):format(url, url, url)))
      assert.equal("1\n0\n", curl(("-o /dev/null -o /dev/null -w '%%{num_connects}\\n' '%s/hello' '%s/hello'"):format(
        url, url)))
      assert.equal("some text", curl("--data-binary 'some text' " .. url .. "/echo"))
      assert.equal("404", curl("-o /dev/null -w '%{http_code}' " .. url .. "/nothing"))
      assert.equal("405", curl("-o /dev/null -w '%{http_code}' -X DELETE " .. url .. "/hello"))
      assert.equal("413", curl("-o /dev/null -w '%{http_code}' -H 'Content-Length: 2000000' " .. url .. "/echo"))
      local long = ("x"):rep(9000)
      assert.equal("400", curl("-o /dev/null -w '%{http_code}' -H 'Long: " .. long .. "' " .. url .. "/hello"))
      assert.equal("200 0", curl("-I -o /dev/null -w '%{http_code} %{size_download}' " .. url .. "/hello"))
      assert.equal("hello, old\n", curl("-0 '" .. url .. "/hello?name=old'"))
    end)
  end)

  it("sends a large body to http_server.lua, and gets it back", function()
    if not has("curl") then return pending("needs curl") end
    local path = os.tmpname()
    local _ <close> = helpers.defer(function() os.remove(path) end)
    helpers.write_file(path, support.noise(900000))
    with_example("http_server.lua", "0", function(port)
      local command = "curl -sS --max-time 60 --data-binary @%s http://127.0.0.1:%s/echo | cmp - %s && echo same"
      assert.equal("same\n", output_of(command:format(path, port, path)))
    end)
  end)

  it("is served many times at once", function()
    if not has("curl") then return pending("needs curl") end
    with_example("http_server.lua", "0", function(port)
      local answers = output_of(([[
        for i in 1 2 3 4 5 6 7 8 9 10; do
          curl -sS --max-time 60 "http://127.0.0.1:%s/slow" "http://127.0.0.1:%s/hello?name=n$i" &
        done
        wait]]):format(port, port))
      local _, count = answers:gsub("it took a while\nhello, n", "")
      for i = 1, 10 do assert.is_truthy(answers:find(("hello, n%d\n"):format(i), 1, true), answers) end
      assert.is_true(count >= 1)
    end)
  end)
end)

describe("socat", function()
  it("talks in chat_server.lua, with the line ends of telnet", function()
    if not has("socat") then return pending("needs socat") end
    with_example("chat_server.lua", "0", function(port)
      async.run(function()
        local ann <close> = net.connect("127.0.0.1", tonumber(port))
        ann:write("ann\r\n/who\r\n")
        assert.equal("Your name? * here: ann", ann:read_line())
        local seen = output_of(([[printf 'ann\r\n\r\nbob\r\nhello from socat\r\n/who\r\n/quit\r\n' |
          socat -t 20 - TCP:127.0.0.1:%s]]):format(port))
        local refusal = "Letters and digits, please, and a name that nobody has.\n"
        assert.equal(("Your name? %sYour name? %sYour name? * here: ann, bob\n"):format(refusal, refusal), seen)
        assert.equal("* bob joins", ann:read_line())
        assert.equal("bob: hello from socat", ann:read_line())
        assert.equal("* bob leaves", ann:read_line())
      end)
    end)
  end)

  it("reaches a server of its own through tcp_proxy.lua", function()
    if not has("socat") then return pending("needs socat") end
    local path = os.tmpname()
    os.remove(path)
    async.run(function()
      local upstream <close> = net.serve("127.0.0.1", 0, function(stream)
        stream:write(#stream:read_all(), " bytes\n")
      end)
      local _, upstream_port = upstream:address()
      local answer = async.Future()
      with_example("tcp_proxy.lua", ("0 127.0.0.1 %d"):format(upstream_port), function(port)
        os.execute(("(head -c 2000000 /dev/zero | socat -t 30 - TCP:127.0.0.1:%s >%s; mv %s %s.done) &"):format(port,
          path, path, path))
        support.wait_until(function() return helpers.read_file(path .. ".done") ~= "" end)
        answer:set_result(helpers.read_file(path .. ".done"))
      end)
      assert.equal("2000000 bytes\n", async.await(answer))
    end)
    os.remove(path .. ".done")
  end)

  it("answers udp_ping.lua", function()
    if not has("socat") then return pending("needs socat") end
    local port = helpers.run(function()
      local socket <close> = net.udp { host = "127.0.0.1" }
      return select(2, socket:sockname())
    end)
    local pipe <close> = assert(io.popen(("echo $$; exec timeout --foreground 60 socat "
      .. "UDP4-RECVFROM:%d,bind=127.0.0.1,fork PIPE 2>&1"):format(port)))
    local pid = pipe:read("l")
    local _ <close> = helpers.defer(function() os.execute("kill " .. pid .. " 2>/dev/null") end)
    local output
    for _ = 1, 100 do
      output = output_of(("'%s' examples/udp_ping.lua 127.0.0.1 %d 3"):format(lua(), port))
      if output:find("received, 0 %", 1, true) then break end
      os.execute("sleep 0.1") -- it may still be starting
    end
    assert.matches("^1: [%d.]+ ms\n2: [%d.]+ ms\n3: [%d.]+ ms\n3 sent, 3 received, 0 %% lost\n$", output)
  end)
end)

describe("port_scanner.lua", function()
  it("finds a port that is served", function()
    helpers.run(function()
      local server <close> = net.serve("127.0.0.1", 0, function() end)
      local _, port = server:address()
      local command = "'%s' examples/port_scanner.lua 127.0.0.1 %d %d"
      assert.equal(port .. "\n", output_of(command:format(lua(), port, port)))
    end)
  end)
end)
