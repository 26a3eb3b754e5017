-- examples/fetch_all.lua as a program of its own, against web servers that are no part of luawait.
local dkjson = require "dkjson"
local support = require "spec.examples.support"

local ports, stop_servers, tree

-- The files of the tree, and the names under which the servers have them.
local names = {
  ["empty"] = "empty",
  ["one byte"] = "one%20byte",
  ["per%cent"] = "per%25cent",
  ["a+b&c=d;e"] = "a+b&c=d;e",
  ["what?"] = "what%3F",
  ["hash#tag"] = "hash%23tag",
  ["quote\"'s"] = "quote%22%27s",
  ["\u{fc}ml\u{e4}ut"] = "%C3%BCml%C3%A4ut",
  ["nested/deep/er/file.txt"] = "nested/deep/er/file.txt",
  ["text.html"] = "text.html",
  ["big"] = "big",
}

-- Any bytes but "<": nginx' SSI filter, which is what makes it send chunks, looks for commands behind it, and swallows
-- one that is the last byte of a file.
local function noise(bytes)
  local pieces = {}
  for i = 1, bytes // 8 do pieces[i] = string.pack("<i8", math.random(0)) end
  return (table.concat(pieces):gsub("<", "="))
end

local function make_tree()
  math.randomseed(20240229)
  support.make_directory(tree .. "/nested/deep/er")
  support.make_directory(tree .. "/small")
  for i = 1, 200 do
    local name = ("small/%03d.bin"):format(i)
    names[name] = name
  end
  for name in pairs(names) do
    support.write(tree .. "/" .. name, name == "empty" and "" or noise(8 * math.random(1, 500)))
  end
  support.write(tree .. "/one byte", "\0")
  support.write(tree .. "/big", noise(10 << 20))
end

local function url(server, path)
  return ("http://127.0.0.1:%d/%s"):format(ports[server], path)
end

-- Runs fetch_all. The last argument may be the options for support.run.
local function fetch(words, opts)
  return support.example("fetch_all.lua", words, opts)
end

-- The same with --json: the decoded document, and the run.
local function fetch_json(words, opts)
  local all = { "--json", table.unpack(words) }
  local run = fetch(all, opts)
  local document, _, message = dkjson.decode(run.stdout)
  assert.is_nil(message)
  return assert(document, run.stderr), run
end

-- Fetches one page; its result.
local function fetch_one(address)
  local document = fetch_json({ "--retries", "0", "--timeout", "30", address })
  assert.equal(1, #document.results)
  return document.results[1]
end

-- Fetches the files under these names from below `prefix`, and compares each with the original, byte by byte.
local function compare(server, prefix, limit, wanted)
  local output = support.temporary()
  local removed <close> = setmetatable({}, { __close = function() support.remove(output) end })
  local urls, files = {}, {}
  for name, encoded in pairs(wanted) do
    files[#files + 1] = name
    urls[#urls + 1] = url(server, prefix .. encoded)
  end
  local document, run = fetch_json({ "--file", "-", "--output", output, "--limit", limit, "--timeout", "40" },
    { stdin = table.concat(urls, "\n") .. "\n" })
  assert.equal("", run.stderr)
  assert.equal(0, run.status, run.stdout)
  assert.equal(#files, #document.results)
  for i, result in ipairs(document.results) do
    local original = support.read(tree .. "/" .. files[i])
    assert.equal(urls[i], result.url)
    assert.equal(200, result.status)
    assert.equal(#original, result.bytes)
    assert.is_true(original == support.read(result.file), files[i] .. " differs")
  end
  assert.equal(#files, #support.list(output))
end

describe("examples/fetch_all", function()
  setup(function()
    tree = support.temporary()
    make_tree()
    ports, stop_servers = support.serve(tree)
  end)

  teardown(function()
    if stop_servers then stop_servers() end
    if tree then support.remove(tree) end
  end)

  describe("gets every byte", function()
    local some = { empty = "empty", big = "big", ["one byte"] = "one%20byte", ["text.html"] = "text.html",
      ["nested/deep/er/file.txt"] = "nested/deep/er/file.txt" }

    it("of a tree that nginx serves", function() compare("nginx", "plain/", 16, names) end)
    it("in nginx' chunks", function() compare("nginx", "chunked/", 3, some) end)
    it("of nginx' replies that end with the connection", function() compare("nginx", "until-close/", 3, some) end)
    it("of a tree that python3 -m http.server serves", function() compare("files", "", 8, names) end)
    it("one at a time", function() compare("nginx", "plain/", 1, some) end)
    it("all at once", function() compare("nginx", "plain/", 250, names) end)
  end)

  it("follows redirects", function()
    -- Both servers send a directory without its slash to the one with it, where nginx has nothing to show.
    local result = fetch_one(url("files", "nested/deep"))
    assert.equal(200, result.status)
    assert.equal(url("files", "nested/deep/"), result.final_url)
    result = fetch_one(url("nginx", "plain/nested"))
    assert.equal(403, result.status)
    assert.equal("HTTP 403 Forbidden", result.error)
    result = fetch_one(url("rude", "deep/relative"))
    assert.equal(url("rude", "fine?and=more"), result.final_url)
    assert.equal(4, result.bytes)
  end)

  it("finds a host by its name", function()
    local result = fetch_one(("http://localhost:%d/fine"):format(ports.rude))
    assert.equal(200, result.status)
  end)

  it("keeps the results in the order of the URLs", function()
    local document = fetch_json({ "--limit", "4", url("rude", "gauge"), url("nginx", "plain/big"), url("rude", "fine"),
      url("nginx", "plain/missing"), url("files", "empty"), "--retries", "0" })
    local order = {}
    for i, result in ipairs(document.results) do
      order[i] = ("%s %d"):format(result.url:match("[^/]*$"), result.status)
    end
    assert.same({ "gauge 200", "big 200", "fine 200", "missing 404", "empty 200" }, order)
  end)

  describe("understands", function()
    for path, bytes in pairs({ ["until-close"] = 13, ["line-feeds"] = 4, ["no-reason"] = 4, interim = 4,
      ["same-lengths"] = 4, held = 4, ["held-chunked"] = 4, ["held-no-content"] = 0, drip = 136 }) do
      it(path, function()
        local result = fetch_one(url("rude", path))
        assert.equal(dkjson.null, result.error or dkjson.null)
        assert.equal(bytes, result.bytes)
        assert.equal(1, result.attempts)
      end)
    end
  end)

  it("says what is wrong with a reply", function()
    local expected = {
      ["nothing"] = "the connection ended without a reply",
      ["truncated"] = "truncated: 10 of 1000 bytes came",
      ["truncated-head"] = "the connection ended in the headers",
      ["truncated-chunk"] = "truncated: 9 of 16 bytes came",
      ["no-last-chunk"] = "truncated: the connection ended before the last chunk",
      ["bad-chunk"] = 'bad chunk size "four"',
      ["long-chunk"] = "a chunk is longer than its size",
      ["other-coding"] = 'transfer coding "gzip" is not supported',
      ["bad-length"] = 'bad Content-Length "ten"',
      ["two-lengths"] = 'bad Content-Length "5, 6"',
      ["bad-header"] = 'headers: bad line "no colon here"',
      ["garbage"] = 'not an HTTP/1 reply: "220 mail.example ESMTP ready"',
      ["binary"] = "status line: a line longer than 8192 bytes",
      ["long-line"] = "headers: a line longer than 8192 bytes",
      ["many-lines"] = "headers: more than 65536 bytes",
      ["to-https"] = 'redirected to "https://example.invalid/": https is not supported, only http',
      ["loop"] = "more than 5 redirects",
      ["missing"] = "HTTP 404 Not Found",
    }
    local urls, paths = {}, {}
    for path in pairs(expected) do
      paths[#paths + 1] = path
      urls[#urls + 1] = url("rude", path)
    end
    local document, run = fetch_json({ "--limit", "30", "--retries", "0", table.unpack(urls) })
    assert.equal(1, run.status)
    assert.equal("", run.stderr)
    for i, result in ipairs(document.results) do
      assert.equal(expected[paths[i]], result.error, paths[i])
      assert.equal(1, result.attempts)
      assert.is_nil(result.bytes)
    end
    -- A reset may be seen as such, or as the end of the connection.
    local reset = fetch_one(url("rude", "reset")).error
    assert.is_truthy(reset:find("ECONNRESET", 1, true) or reset == "truncated: 4 of 10 bytes came", reset)
  end)

  it("gives up on a server that hangs", function()
    local document, run = fetch_json({ "--retries", "0", "--timeout", "0.5", url("rude", "hang"),
      url("rude", "hang-head"), url("rude", "hang-body") })
    assert.equal(1, run.status)
    for _, result in ipairs(document.results) do
      assert.equal("no reply within 0.5 s", result.error)
      assert.is_true(result.milliseconds >= 500)
    end
  end)

  it("says what is wrong with a URL or a host", function()
    local expected = {
      { "https://127.0.0.1/", "^https is not supported, only http$", 0 },
      { "ftp://127.0.0.1/", "^ftp is not supported, only http$", 0 },
      { "127.0.0.1/path", "^not a URL: it should begin with http://$", 0 },
      { "http://127.0.0.1:99999/", "^port 99999 is not between 1 and 65535$", 0 },
      { "http:///path", '^bad host name ""$', 0 },
      { "http://127.0.0.1/a b", "^a space or control character at position 19", 0 },
      { url("closed", ""), "^connection refused$", 1 },
      { "http://no..host/", "^cannot resolve the host name %(EAI_%u+%)$", 1 },      -- known without asking a server
      { url("rude", "fine"), nil, 1 },
    }
    local words = { "--retries", "0", "--timeout", "30" }
    for _, case in ipairs(expected) do words[#words + 1] = case[1] end
    local document, run = fetch_json(words)
    assert.equal(1, run.status)
    for i, case in ipairs(expected) do
      local result = document.results[i]
      assert.equal(case[1], result.url)
      assert.equal(case[3], result.attempts)
      if case[2] then assert.matches(case[2], result.error) else assert.is_nil(result.error) end
    end
  end)

  it("tries again when that may help, and only then", function()
    local document, run = fetch_json({ "--retries", "3", "--timeout", "20", url("rude", "flaky/2/a"),
      url("rude", "flaky/9/b"), url("rude", "truncated"), url("rude", "garbage"), url("rude", "missing"),
      url("closed", "") })
    local attempts, statuses = {}, {}
    for i, result in ipairs(document.results) do
      attempts[i], statuses[i] = result.attempts, result.status or 0
      assert.equal(2 * result.attempts - 1, #result.spans)     -- between two requests there is a pause
    end
    assert.same({ 3, 4, 4, 1, 1, 4 }, attempts)
    assert.same({ 200, 503, 0, 0, 404, 0 }, statuses)
    assert.equal(1, run.status)
  end)

  it("pauses longer before each attempt", function()
    local result = fetch_json({ "--retries", "3", url("rude", "flaky/3/pauses") }).results[1]
    local previous = 0
    for i, span in ipairs(result.spans) do
      assert.equal(i % 2 == 0 and "pause" or "request", span.kind)
      if span.kind == "pause" then
        local least = 0.05 * 2 ^ (i // 2 - 1)
        assert.is_true(span.to - span.from >= least, ("%g < %g"):format(span.to - span.from, least))
      end
      assert.is_true(span.from >= previous)
      previous = span.to
    end
    assert.equal("request", result.spans[7].kind)
  end)

  it("has no more than --limit requests at the same time", function()
    local urls = {}
    for i = 1, 20 do urls[i] = url("rude", "gauge") end
    local output = support.temporary()
    local document, run = fetch_json({ "--limit", "4", "--output", output, table.unpack(urls) })
    assert.equal(0, run.status)
    local most = 0
    for _, result in ipairs(document.results) do most = math.max(most, tonumber(support.read(result.file))) end
    support.remove(output)
    assert.is_true(most <= 4, most .. " at the same time")
    assert.is_true(most >= 2, "they did not overlap")
    for i = 5, 20 do
      local before = 0
      for j, other in ipairs(document.results) do
        if i ~= j and other.spans[1].to <= document.results[i].spans[1].from then before = before + 1 end
      end
      assert.is_true(before >= i - 4)          -- each had to wait for others to end
    end
  end)

  it("leaves nothing of a failed download", function()
    local output = support.temporary()
    local _, run = fetch_json({ "--retries", "0", "--timeout", "3", "--output", output, url("rude", "truncated"),
      url("rude", "hang-body"), url("rude", "missing"), url("nginx", "plain/missing"), url("rude", "fine") })
    local left = support.list(output)
    support.remove(output)
    assert.equal(1, run.status)
    assert.same({ "0005-fine" }, left)
  end)

  it("prints a table, a timeline, and the sum", function()
    local run = fetch({ "--retries", "1", url("nginx", "plain/big"), url("rude", "gauge"), url("rude", "flaky/5/x") },
      { env = { "LC_ALL=C" } })
    assert.equal(1, run.status)
    assert.equal("", run.stderr)
    assert.matches("^3 URLs, at most 6 at the same time; 10 s for an attempt, at most 2 attempts\n\n", run.stdout)
    assert.matches("\n 1  http://127.0.0.1:%d+/plain/big +200  10,485,760 +%d+ +1\n", run.stdout)
    assert.matches("\n 2  http://127.0.0.1:%d+/gauge +200 +1 +%d+ +1\n", run.stdout)
    assert.matches("\n 3  http://127.0.0.1:%d+/flaky/5/x +503 +%- +%d+ +2  HTTP 503 Service Unavailable\n", run.stdout)
    assert.matches("\n +timeline +0 +%d+%.%d%d s\n", run.stdout)
    assert.matches("\n 2  127.0.0.1:%d+/gauge +#+\n", run.stdout)
    assert.matches("\n 3  127.0.0.1:%d+/flaky/5/x +#+ *%.+ *#+\n", run.stdout)
    assert.matches("\n3 URLs: 2 fetched %(10,485,761 bytes%), 1 failed%.\n", run.stdout)
    assert.matches("\nThe waits add up to %d+%.%d%d s; together they took %d+%.%d%d s, %d+%.%d times less%.\n$",
      run.stdout)
    assert.is_nil(run.stdout:find("[^\n\x20-\x7e]"))
  end)

  it("lets no control characters through to the terminal, and writes them correctly in JSON", function()
    local address = url("rude", "control?\u{e9}\xff")
    local run = fetch({ "--retries", "0", address })
    assert.is_nil(run.stdout:gsub("\n", ""):find("%c"))
    assert.is_truthy(utf8.len(run.stdout))
    assert.matches('HTTP 404 %?%[31mred%? %? "quoted" \\ ', run.stdout)
    local result = fetch_one(address)
    assert.equal(url("rude", "control?\u{e9}\u{FFFD}"), result.url)
    assert.equal('HTTP 404 \27[31mred\a \u{FFFD} "quoted" \\ \u{e9}', result.error)
  end)

  describe("takes its URLs", function()
    it("from a file, with comments and empty lines", function()
      local directory = support.temporary()
      local list = directory .. "/list.txt"
      support.write(list, ("# a comment\r\n\r\n  %s  \r\n%s"):format(url("rude", "fine"), url("rude", "interim")))
      local document = fetch_json({ url("rude", "held"), "--file", list })
      support.remove(directory)
      local paths = {}
      for i, result in ipairs(document.results) do paths[i] = result.url:match("[^/]*$") end
      assert.same({ "held", "fine", "interim" }, paths)
    end)

    it("after --", function()
      local document, run = fetch_json({ "--", "--limit" })
      assert.equal("--limit", document.results[1].url)
      assert.equal(1, run.status)
    end)
  end)

  describe("refuses", function()
    for message, words in pairs({
      ["unknown option --nope"] = { "--nope" },
      ["--limit needs a value: a number from 1 on"] = { "--limit" },
      ["--limit 0: expected a number from 1 on"] = { "--limit", "0" },
      ["--timeout 0: expected seconds, more than 0"] = { "--timeout", "0" },
      ["--timeout soon: expected seconds, more than 0"] = { "--timeout=soon" },
      ["--retries -1: expected a number from 0 on"] = { "--retries", "-1" },
      ["--json takes no value"] = { "--json=yes" },
      ["cannot read no/such/file: No such file or directory"] = { "--file", "no/such/file" },
      ["cannot read spec: Is a directory"] = { "--file", "spec" },
      ["no URLs in -"] = { "--file", "-" },
      ["cannot write to the directory /dev/null/x"] = { "--output", "/dev/null/x", "http://127.0.0.1/" },
    }) do
      it(table.concat(words, " "), function()
        local run = fetch(words)
        assert.equal(2, run.status)
        assert.equal("", run.stdout)
        local last = run.stderr:match("([^\n]*)\n$")
        assert.equal("fetch_all: " .. message .. " (--help lists the options)", last)
      end)
    end
  end)

  it("explains itself", function()
    local run = fetch({ "--help", "--limit", "3" })
    assert.equal(0, run.status)
    assert.matches("^usage: ", run.stdout)
    for _, option in ipairs({ "file", "limit", "timeout", "retries", "output", "json", "help" }) do
      assert.matches("\n  %-%-" .. option .. " ", run.stdout)
    end
  end)

  it("shows its progress on a terminal", function()
    local run = fetch({ url("rude", "gauge"), url("rude", "missing") }, { terminal = true })
    assert.equal(1, run.status)
    assert.matches("\r\27%[K0 of 2 done, 0 failed", run.stderr)
    assert.matches("\r\27%[K$", run.stderr)
  end)

  describe("when it is interrupted", function()
    local function interrupt(...)
      local words = { "--timeout", "50", "--limit", "3", url("rude", "fine"), url("rude", "hang"),
        url("rude", "missing"), url("rude", "hang-body"), url("rude", "hang"), url("rude", "fine"), ... }
      return fetch(words, { terminal = true, interrupt_at = "2 of 6 done" })
    end

    it("shows what is finished so far", function()
      local output = support.temporary()
      local run = interrupt("--output", output)
      local left = support.list(output)
      support.remove(output)
      assert.equal(130, run.status)
      assert.matches("\r\27%[Kfetch_all: interrupted\r?\n$", run.stderr)
      assert.matches("\n 1  %S+/fine +200 +4 +%d+ +1\n", run.stdout)
      assert.matches("\n 2  %S+/hang +%- +%- +%d+ +1  interrupted\n", run.stdout)
      assert.matches("\n 3  %S+/missing +404 +%- +%d+ +1  HTTP 404 Not Found\n", run.stdout)
      assert.matches("\n 4  %S+/hang%-body +%- +%- +%d+ +1  interrupted\n", run.stdout)
      assert.matches("\n 6  %S+/fine +%- +%- +0 +0  interrupted\n", run.stdout)
      assert.same({ "0001-fine" }, left)
    end)

    it("says so, and no more, when it is not on a terminal", function()
      local output = support.temporary()
      local run = fetch({ "--limit", "1", "--timeout", "50", "--output", output, url("rude", "missing"),
        url("rude", "fine"), url("rude", "hang") }, { interrupt_when = output .. "/0002-fine" })
      support.remove(output)
      assert.equal("fetch_all: interrupted\n", run.stderr)
      assert.equal(130, run.status)
    end)

    it("writes a whole JSON document", function()
      local run = interrupt("--json")
      assert.equal(130, run.status)
      local document = assert(dkjson.decode(run.stdout))
      assert.is_true(document.interrupted)
      local errors = {}
      for i, result in ipairs(document.results) do errors[i] = result.error or "" end
      assert.same({ "", "interrupted", "HTTP 404 Not Found", "interrupted", "interrupted", "interrupted" }, errors)
    end)
  end)

  it("fetches the pages of its own site when it gets no URLs", function()
    local run = fetch({}, { env = { "LC_ALL=C.UTF-8" } })
    assert.equal(0, run.status)
    assert.equal("", run.stderr)
    assert.matches("\n24 URLs: 18 fetched %([%d,]+ bytes%), 6 failed%.\n", run.stdout)
    for _, text in ipairs({ "HTTP 404 Not Found", "no reply within 1.2 s", "truncated: 20000 of 100000 bytes came",
      'not an HTTP/1 reply: "220 mail.example ESMTP ready"', "connection refused", "https is not supported",
    }) do
      assert.is_truthy(run.stdout:find(text, 1, true), text)
    end
    assert.matches("\n 8  /flaky/2/times +█[█· ]+·[█· ]+█\n", run.stdout)
    local waits, took = run.stdout:match("add up to ([%d.]+) s; together they took ([%d.]+) s")
    assert.is_true(tonumber(waits) > 1.5 * tonumber(took))
  end)
end)
