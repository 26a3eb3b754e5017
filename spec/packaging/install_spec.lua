-- What is installed is used from outside: by programs in C, in each of the ways in which they can find it, and by Lua.
local async = require "luawait"
local helpers = require "spec.support.helpers"

local build = os.getenv("LUAWAIT_BUILD") or "build"
local work

-- Runs a line of shell in the spec's directory, where $B is the build and $P the prefix; what it prints. Raises with
-- that unless it ends well.
local function shell(line)
  local out = os.tmpname()
  local ok = os.execute(("unset MAKEFLAGS MFLAGS MAKELEVEL; cd '%s' && B='%s' && P='%s/prefix' && (%s) >%s 2>&1")
    :format(work, build, work, line, out))
  local text = helpers.read_file(out)
  os.remove(out)
  if not ok then error(line .. ":\n" .. text, 2) end
  return text
end

-- What CMake found out for the build.
local function cached(name)
  return helpers.read_file(build .. "/CMakeCache.txt"):match("\n" .. name .. ":%w+=([^\n]*)") or ""
end

-- The options that a program needs to be linked with what was built: sanitizers or counters, if there are any.
local function flags()
  local sanitizers = cached("LUAWAIT_SANITIZE")
  return sanitizers ~= "" and "-fsanitize=" .. sanitizers or cached("CMAKE_C_FLAGS"):match("%-%-coverage") or ""
end

local PROGRAM = [["
  local async, net = require 'luawait', require 'luawait.net'
  print(async.sleep(0.001, 42), net.serve)"]]

local function check(program)
  local output = shell(program .. " " .. PROGRAM)
  assert.matches("^42\tfunction: .*\n" .. async._VERSION:gsub("%p", "%%%0") .. "\n$", output)
end

describe("the installation", function()
  setup(function()
    local pipe <close> = assert(io.popen("pwd"))
    local root = pipe:read("l")
    if build:sub(1, 1) ~= "/" then build = root .. "/" .. build end
    work = os.tmpname()
    os.remove(work)
    assert(os.execute(("mkdir %s && cp -R spec/packaging/consumer %s/consumer"):format(work, work)))
    shell(('cmake --build "$B" --parallel 2 && cmake --install "$B" --prefix "$P" && ln -s "%s" checkout'):format(root))
  end)

  teardown(function() os.execute("rm -rf " .. work) end)

  it("is used by a program built with CMake", function()
    shell(('cmake -S consumer -B with-cmake -DCMAKE_PREFIX_PATH="$P" "-DCMAKE_C_FLAGS=%s"'):format(flags()))
    shell("cmake --build with-cmake")
    check("with-cmake/consumer")
  end)

  it("is used by a program built with make and pkg-config", function()
    shell(('PKG_CONFIG_PATH="$P/lib/pkgconfig:$PKG_CONFIG_PATH" make -C consumer "CFLAGS=%s"'):format(flags()))
    check("consumer/consumer")
    assert.equal(async._VERSION .. "\n", shell('PKG_CONFIG_PATH="$P/lib/pkgconfig" pkg-config --modversion luawait'))
  end)

  it("is used by a program that brings its own Lua", function()
    shell(([[cmake -S consumer -B own-lua -DCMAKE_PREFIX_PATH="$P" "-DCMAKE_C_FLAGS=%s" -DLUAWAIT_HOST_LUA=ON \
      "-DLUA_INCDIR=%s" "-DLUA_LIBRARY=%s" && cmake --build own-lua]]):format(flags(), cached("LUA54_INCLUDE_DIRS"),
      cached("LUA54_LDFLAGS")))
    check("own-lua/consumer")
  end)

  it("may be moved", function()
    shell("mkdir else moved && cp -R prefix else/where && cp -R checkout/spec/packaging/consumer moved")
    shell(('PKG_CONFIG_PATH="$PWD/else/where/lib/pkgconfig:$PKG_CONFIG_PATH" make -C moved/consumer "CFLAGS=%s"')
      :format(flags()))
    check("moved/consumer/consumer")
  end)

  it("names no Lua where it was built for a host's own", function()
    shell(('cmake -S checkout -B host-build -DLUA_INCDIR="%s" -DLUAWAIT_LTO=OFF'):format(cached("LUA54_INCLUDE_DIRS")))
    assert.matches("\nRequires: libuv >= 1.43 *\n", helpers.read_file(work .. "/host-build/luawait.pc"))
    assert.matches('luawait_lua ""', helpers.read_file(work .. "/host-build/luawait-config.cmake"), 1, true)
  end)

  it("holds the modules and the command, which needs no paths", function()
    local output = shell([[env -u LUA_PATH -u LUA_CPATH -u LUAWAIT_BUILD "$P/bin/luawait" -e '
      print(async._VERSION, (package.searchpath("luawait", package.path)), require("luawait.net") ~= nil)']])
    assert.equal(("%s\t%s/prefix/bin/../share/lua/5.4/luawait/init.lua\ttrue\n"):format(async._VERSION, work), output)
  end)

  it("goes below DESTDIR with make install", function()
    shell('LUAWAIT_BUILD="$B" make -C checkout install DESTDIR="$PWD/package" PREFIX=/opt/luawait')
    for _, path in ipairs {
      "bin/luawait", "include/luawait.h", "lib/libluawait.a", "lib/pkgconfig/luawait.pc", "lib/lua/5.4/luawait/core.so",
      "lib/cmake/luawait/luawait-config.cmake", "share/lua/5.4/luawait/init.lua",
    } do
      local file <close> = io.open(("%s/package/opt/luawait/%s"):format(work, path))
      assert.is_truthy(file, path .. " was not installed")
    end
  end)
end)
