package.path = "examples/?.lua;" .. package.path

local async = require "luawait"
local url = require "lib.url"

local function failure(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(async.errors.is(err, url.URLError))
  return err.message
end

describe("examples/lib/url: parse", function()
  it("takes a URL apart", function()
    local parts = url.parse("http://example.org:8080/a/b?c=d&e#f")
    assert.same({
      host = "example.org:8080", address = "example.org", port = 8080, origin = "http://example.org:8080",
      path = "/a/b", target = "/a/b?c=d&e", href = "http://example.org:8080/a/b?c=d&e",
    }, parts)
  end)

  it("fills in what may be left out", function()
    assert.equal("http://example.org/", url.parse("HTTP://example.org").href)
    assert.equal("http://example.org/", url.parse("http://example.org:80#x").href)
    assert.equal("http://example.org/?q", url.parse("http://example.org:?q").href)
  end)

  it("knows IPv6 addresses", function()
    local parts = url.parse("http://[::1]:81/x")
    assert.equal("::1", parts.address)
    assert.equal("[::1]:81", parts.host)
  end)

  it("encodes what is not ASCII in the path", function()
    assert.equal("/%C3%A9?%FF", url.parse("http://h/\u{e9}?\xff").target)
  end)

  for text, message in pairs({
    [""] = "not a URL: it should begin with http://",
    ["example.org/x"] = "not a URL: it should begin with http://",
    ["localhost:80/x"] = "not a URL: it should begin with http://",
    ["http:/example.org"] = "not a URL: it should begin with http://",
    ["https://example.org"] = "https is not supported, only http",
    ["FTP://example.org"] = "ftp is not supported, only http",
    ["http://"] = 'bad host name ""',
    ["http:///path"] = 'bad host name ""',
    ["http://:80/"] = 'bad host name ":80"',
    ["http://a$b/"] = 'bad port "$b"',
    ["http://[::1"] = 'bad host name "[::1"',
    ["http://[::1]80/"] = 'bad port "80"',
    ["http://h:x/"] = 'bad port ":x"',
    ["http://h:0/"] = "port 0 is not between 1 and 65535",
    ["http://h:65536/"] = "port 65536 is not between 1 and 65535",
    ["http://h:99999999999999999999/"] = "port 99999999999999999999 is not between 1 and 65535",
    ["http://user:word@h/"] = "a user name in the URL is not supported",
    ["http://h/a b"] = "a space or control character at position 11 (a space is written %20)",
    ["http://h/\r\nHost: x"] = "a space or control character at position 10 (a space is written %20)",
    ["http://h/\0"] = "a space or control character at position 10 (a space is written %20)",
  }) do
    it(("refuses %q"):format(text), function()
      assert.equal(message, failure(url.parse, text))
    end)
  end
end)

describe("examples/lib/url: resolve", function()
  local base = url.parse("http://h:81/a/b/c?query")

  -- The examples of RFC 3986, section 5.4, that an http: URL without parameters can have.
  for reference, href in pairs({
    ["http://other/x"] = "http://other/x",
    ["//other/x"] = "http://other/x",
    ["/x"] = "http://h:81/x",
    ["x"] = "http://h:81/a/b/x",
    ["./x"] = "http://h:81/a/b/x",
    ["x/"] = "http://h:81/a/b/x/",
    ["?y"] = "http://h:81/a/b/c?y",
    ["x?y"] = "http://h:81/a/b/x?y",
    [""] = "http://h:81/a/b/c?query",
    ["#s"] = "http://h:81/a/b/c?query",
    ["."] = "http://h:81/a/b/",
    ["./"] = "http://h:81/a/b/",
    [".."] = "http://h:81/a/",
    ["../x"] = "http://h:81/a/x",
    ["../.."] = "http://h:81/",
    ["../../../x"] = "http://h:81/x",
    ["/./x"] = "http://h:81/x",
    ["/../x"] = "http://h:81/x",
    ["x."] = "http://h:81/a/b/x.",
    ["..x"] = "http://h:81/a/b/..x",
    ["x/./y"] = "http://h:81/a/b/x/y",
    ["x/../y"] = "http://h:81/a/b/y",
    ["x?y/../z"] = "http://h:81/a/b/x?y/../z",
  }) do
    it(("finds %q"):format(reference), function()
      assert.equal(href, url.resolve(base, reference).href)
    end)
  end

  it("refuses what is not http", function()
    assert.equal("https is not supported, only http", failure(url.resolve, base, "https://h/"))
    assert.equal("not a URL: it should begin with http://", failure(url.resolve, base, "mailto:someone"))
  end)
end)
